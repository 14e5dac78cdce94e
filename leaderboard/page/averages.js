// Averages over the selected tasks and languages by the rules of the benchmarks, for all rows at once.

const NONE = 0;
const PARTIAL = 1;
const COMPLETE = 2;

/** Return an empty column: a value and a state for every row. */
function emptyColumn(board, properties) {
  const count = board.rows.length;
  return { ...properties, values: new Float64Array(count).fill(NaN), states: new Uint8Array(count) };
}

/** Return the selected slots of a task in a benchmark. */
function chosenSlots(board, task, benchmark, chosen) {
  const codes = task.benchmarks[benchmark] ?? [];
  const wanted = codes.filter((code) => chosen.has(code));
  return { wanted, all: wanted.length === codes.length, slots: wanted.map((code) => slot(board, task, code)) };
}

function slot(board, task, code) {
  return board.slotOf.get(`${task.name}/${code}`);
}

/**
 * Return the mean of a row over slots, weighted equally or by the number of examples.
 *
 * `count` is the number of slots with a score, `complete` whether all their scores are complete. `ofSeed` holds the
 * scores of one of its seeds by slot, to be used instead of the row's own.
 */
function meanOver(board, row, slots, byExamples, ofSeed = null) {
  const { n, whole } = board.columns;
  const start = row * board.width;
  const score = ofSeed ?? board.columns.score;
  const first = ofSeed ? 0 : start;
  let total = 0;
  let weight = 0;
  let count = 0;
  let complete = true;
  for (const slotIndex of slots) {
    const value = score[first + slotIndex];
    if (Number.isNaN(value)) continue;
    const counts = byExamples ? n[start + slotIndex] : 1;
    total += value * counts;
    weight += counts;
    count += 1;
    complete &&= whole[start + slotIndex] === 1;
  }
  return { mean: weight ? total / weight : NaN, count, complete };
}

function stateOver(slots, count, complete) {
  if (!count) return NONE;
  return count === slots.length && complete ? COMPLETE : PARTIAL;
}

/** Return the column of a task: its mean over the selected languages; null if it has none of them. */
function taskColumn(board, task, benchmark, chosen) {
  const { wanted, all, slots } = chosenSlots(board, task, benchmark, chosen);
  if (!wanted.length) return null;
  const head = { key: task.name, title: shortTitle(task), hint: scoresOf(task), explanation: scoreInWords(task) };
  const column = emptyColumn(board, { ...head, languages: wanted });
  const facts = buildFactsOf(board, benchmark, task.name);
  for (const row of board.rows) {
    const { mean, count, complete } = meanOver(board, row.index, slots, task.average === "examples");
    let value = mean;
    let state = stateOver(slots, count, complete);
    if (all) {
      // Only the build knows whether it is the benchmark's own mean, and papers often report nothing but the mean.
      if (!Number.isNaN(facts.mean[row.index])) value = facts.mean[row.index];
      if (!Number.isNaN(value)) state = facts.complete[row.index] ? COMPLETE : PARTIAL;
    }
    column.values[row.index] = value;
    column.states[row.index] = state;
  }
  return column;
}

/** Return the mean of columns and how many of them each row has; partial if one is partial or missing. */
function meanOfColumns(board, columns, properties) {
  const counts = new Uint8Array(board.rows.length);
  const result = emptyColumn(board, { ...properties, counts, of: columns.length });
  for (let row = 0; row < board.rows.length; row++) {
    let total = 0;
    let complete = 0;
    for (const column of columns) {
      if (column.states[row] === NONE) continue;
      total += column.values[row];
      counts[row] += 1;
      complete += column.states[row] === COMPLETE ? 1 : 0;
    }
    if (!counts[row]) continue;
    result.values[row] = total / counts[row];
    result.states[row] = complete === columns.length ? COMPLETE : PARTIAL;
  }
  return result;
}

/** Return English minus the mean of the other selected languages, averaged over the tasks that have English. */
function gapColumn(board, tasks, benchmark, chosen) {
  const parts = [];
  for (const task of tasks) {
    if (!task.english) continue;
    const english = slot(board, task, task.english);
    const others = chosenSlots(board, task, benchmark, chosen).slots.filter((slotIndex) => slotIndex !== english);
    if (!others.length) continue;
    const part = emptyColumn(board, {});
    for (const { index } of board.rows) {
      const source = board.columns.score[index * board.width + english];
      const { mean, count, complete } = meanOver(board, index, others, task.average === "examples");
      if (Number.isNaN(source) || !count) continue;
      const isComplete = complete && board.columns.whole[index * board.width + english] === 1;
      part.values[index] = source - mean;
      part.states[index] = isComplete && count === others.length ? COMPLETE : PARTIAL;
    }
    parts.push(part);
  }
  return meanOfColumns(board, parts, { key: "gap", title: "Gap", hint: "transfer", ascending: true });
}

/** Return the column of a language: its mean over the selected tasks that have it. */
function languageColumn(board, tasks, benchmark, language) {
  const having = tasks.filter((task) => (task.benchmarks[benchmark] ?? []).includes(language.code));
  const slots = having.map((task) => slot(board, task, language.code));
  const column = emptyColumn(board, { key: language.code, title: language.code, hint: language.name });
  for (const { index } of board.rows) {
    const { mean, count, complete } = meanOver(board, index, slots, false);
    column.values[index] = mean;
    column.states[index] = stateOver(slots, count, complete);
  }
  return column;
}

/**
 * Return the content of a table for the selected tasks and languages.
 *
 * `tasks` are those that have a selected language, `average` is the mean over them, `columns` are the other columns:
 * the tasks, their groups, or the languages.
 */
function computeView(board, benchmark, taskNames, chosen, kind) {
  const wanted = taskNames.map((name) => board.taskNamed.get(name)).filter(Boolean);
  const byTask = wanted
    .map((task) => [task, taskColumn(board, task, benchmark, chosen)])
    .filter(([, column]) => column);
  const tasks = byTask.map(([task]) => task);
  const columns = byTask.map(([, column]) => column);
  const all = board.benchmarkNamed.get(benchmark);
  const mean = (parts, of, head) =>
    meanOfColumns(board, parts, { ...head, hint: countOf(parts.length, of.length, "target"), ofTargets: true });
  const average = mean(columns, all.tasks, { key: "average", title: "Average" });
  const gap = gapColumn(board, tasks, benchmark, chosen);
  let shown = columns;
  if (kind === "groups") {
    shown = Object.entries(all.groups)
      .map(([name, of]) => [name, of, byTask.filter(([task]) => of.includes(task.name)).map(([, each]) => each)])
      .filter(([, , members]) => members.length)
      .map(([name, of, members]) => mean(members, of, { key: name, title: inWords(name) }));
  } else if (kind === "languages") {
    shown = board.languages
      .filter(({ code }) => chosen.has(code) && columns.some((column) => column.languages.includes(code)))
      .map((language) => languageColumn(board, tasks, benchmark, language));
  }
  return { benchmark, tasks, taskColumns: columns, average, gap, columns: shown, chosen };
}

/** Return the title of a task without the part in parentheses. */
function shortTitle(task) {
  return task.title.replace(/ \(.*\)$/, "");
}

const SHORT_SCORES = { exact_match: "EM", f1: "F1", "map@20": "mAP@20", "mrr@20": "MRR@20" };

/** Return the metrics that a task's score is the mean of. */
function scoresOf(task) {
  return task.score_keys.map((key) => SHORT_SCORES[key] ?? key.replaceAll("_", " ")).join(" / ");
}

const LONG_SCORES = { exact_match: "exact match", f1: "F1" };

/** Return how the score of a task with several metrics is computed; null for a single metric. */
function scoreInWords(task) {
  if (task.score_keys.length < 2) return null;
  return `The score is the mean of ${task.score_keys.map((key) => LONG_SCORES[key] ?? key).join(" and ")}`;
}

function inWords(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
