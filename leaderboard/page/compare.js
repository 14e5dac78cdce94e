// Compare two models: their differences, and whether these could be due to the choice of examples.

function chooser(app, position) {
  const { board, state } = app;
  const [first] = state.compare;
  const track = board.rows[board.indexOf.get(first)].board_track;
  const ids = new Set(state.compare);
  const options = board.rows
    .filter((row) => ids.has(row.id) || (row.board_track === track && row.kind !== "reported"))
    .sort((a, b) => byName(a.name, b.name))
    .map((row) => element("option", { value: row.id }, labelText(row)));
  const choose = (event) => {
    const pair = [...state.compare];
    pair[position] = event.target.value;
    app.change({ compare: pair });
  };
  const select = element("select", { "aria-label": position ? "Second model" : "First model",
    "data-focus": `compare-${position}`, on: { change: choose } }, options);
  select.value = state.compare[position];
  return select;
}

/** When a difference is marked in tables and in the map; see `clear` in bootstrap.js. */
const CLEAR = "p < 0.05 and an interval that excludes zero";

function verdict(line) {
  if (!line.interval) return "no paired data";
  if (!line.clear) return "no clear difference";
  return line.difference > 0 ? "first is better" : "second is better";
}

function differenceRow(key, title, line) {
  const interval = line.interval ? `${signed(line.interval[0])} to ${signed(line.interval[1])}` : "–";
  const p = line.p === null ? "–" : line.p.toFixed(2);
  return element("tr", { "data-key": key, class: line.clear ? "clear" : null },
    element("th", { scope: "row", class: "model" }, title),
    [line.a, line.b].map((value) => element("td", { class: "number" }, oneDecimal(value))),
    element("td", { class: "number difference" }, signed(line.difference)),
    element("td", { class: "number" }, interval), element("td", { class: "number" }, p),
    element("td", { class: "verdict" }, verdict(line)));
}

function differenceTable(label, first, rows) {
  const head = [first, "First", "Second", "Difference", "95 % interval", "p", "At 95 %"];
  return scrolling(label, element("table", { class: "differences" },
    element("thead", {}, element("tr", {}, head.map((word, i) =>
      element("th", { scope: "col", class: i === 0 ? "model" : i < 6 ? "number" : null }, word)))),
    element("tbody", {}, rows)));
}

function withHint(title, hint) {
  return [title, element("span", { class: "hint" }, hint)];
}

/** Return a table of languages by targets with differences; clear ones are bold and starred. */
function differenceMap(app, differences) {
  const byPlace = new Map(differences.cells.map((cell) => [`${cell.task.name}/${cell.code}`, cell]));
  const cellOf = (task, code) => {
    const cell = byPlace.get(`${task.name}/${code}`);
    if (!cell) return element("td", { class: "void" });
    const text = signed(cell.difference) + (cell.clear ? "*" : "");
    return element("td", { class: `number${cell.clear ? " clear" : ""}` }, text);
  };
  return scrolling("Differences by language and target", element("table", { class: "heatmap" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "model" }, "Language"),
      differences.tasks.map(({ task }) =>
        element("th", { scope: "col", class: "number", title: task.title }, heading(shortTitle(task)))))),
    element("tbody", {}, differences.languages.map(({ language }) => element("tr", {},
      element("th", { scope: "row", class: "model" }, language.name),
      differences.tasks.map(({ task }) => cellOf(task, language.code)))))));
}

/** Return what a reader should know before trusting a difference. */
function warnings(app, pair, differences, paired) {
  const count = 1 + differences.tasks.length + differences.languages.length + differences.cells.length;
  const { resamples } = paired ?? {};
  const notes = [];
  if (paired) {
    notes.push(`Method: paired bootstrap. The test examples are resampled ${resamples} times, with the same examples ` +
      "for both models; the interval contains 95 % of the resulting differences. Examples that several languages " +
      "share, as translations of one test set, are resampled together. Only examples are resampled, not training " +
      "runs: another seed of either model can differ by more than this.");
    const byChance = count < 20 ? "fewer than one" : `about ${Math.round(count / 20)}`;
    notes.push(`This page makes ${count} comparisons, ${differences.cells.length} of them in the map at the end. It ` +
      `marks those with ${CLEAR}. Between equal models, ${byChance} of them would be marked by chance alone: look at ` +
      "the average first, and interpret single languages with care. " +
      `With ${resamples} resamples, p cannot be below ${(2 / (resamples + 1)).toFixed(2)}.`);
  } else {
    notes.push("No paired data: bootstrap replicates are not available for both models, so this page cannot tell " +
      "whether the differences below are due to chance.");
  }
  if (pair[0].board_track !== pair[1].board_track) {
    notes.push("These models are in different tracks: they were trained or prompted in different ways.");
  }
  const addIf = (is, what) => pair.some(is) && notes.push(`At least one of these models ${what}.`);
  addIf((row) => !row.checked, "has not been checked");
  addIf((row) => row.declarations?.saw_test_data === "yes", "saw test data, according to its submitter");
  addIf((row) => row.withdrawn || row.superseded_by, "was superseded or withdrawn");
  const total = app.view.tasks.reduce((sum, task) =>
    sum + chosenSlots(app.board, task, app.view.benchmark, app.view.chosen).slots.length, 0);
  if (differences.cells.length < total) {
    const shared = `${differences.cells.length} of ${total}`;
    notes.push(`Only scores that both models have are compared: ${shared} selected scores.`);
  }
  return element("div", { class: "warnings" }, notes.map((text) => element("p", {}, text)));
}

function modelLink(app, row, label) {
  const href = `#${fragmentOf(app.board, { ...app.state, compare: [], model: row.id })}`;
  return element("p", { class: "lead" }, element("strong", {}, label), " ", element("a", { href }, labelElements(row)));
}

/** Fill the dialog that compares the two models of the state. */
async function showComparison(app) {
  const { board, view, state } = app;
  const pair = state.compare.map((id) => board.rows[board.indexOf.get(id)]);
  const title = element("h2", { tabindex: "-1", autofocus: true }, "Comparison");
  const choosers = element("div", { class: "pair" },
    pair.map((row, i) => element("div", {}, modelLink(app, row, i ? "Second:" : "First:"), chooser(app, i))));
  const loading = element("p", { class: "note", role: "status" }, "Loading bootstrap replicates …");
  fillDialog("comparison", [title, choosers, loading]);
  const loaded = await Promise.all(pair.map(replicatesOf));
  // The reader may have opened another comparison meanwhile.
  if (app.state.compare.join() !== state.compare.join()) return;
  const differences = comparison(board, view, pair, loaded);
  if (!differences.average) {
    const words = "These two models have no score in common in the current selection.";
    fillDialog("comparison", [title, choosers, element("p", { class: "empty" }, words)]);
    return;
  }
  const all = board.benchmarkNamed.get(view.benchmark).tasks;
  const having = (code) => all.filter((name) => board.taskNamed.get(name).benchmarks[view.benchmark].includes(code));
  const row = (key, title, count, of, what, line) =>
    differenceRow(key, withHint(title, countOf(count, of, what)), line);
  const targets = differences.tasks.map((line) =>
    row(line.task.name, line.task.title, line.count, line.task.benchmarks[view.benchmark].length, "language", line));
  const languages = differences.languages.map((line) =>
    row(line.language.code, line.language.name, line.count, having(line.language.code).length, "target", line));
  const average = row("average", "Average", differences.tasks.length, all.length, "target", differences.average);
  fillDialog("comparison", [
    title, choosers,
    element("p", { class: "note" }, summaryOf(app)),
    warnings(app, pair, differences, differences.average.interval && loaded[0]),
    element("h3", {}, "By target"), differenceTable("Differences by target", "Target", [average, ...targets]),
    element("h3", {}, "By language"), differenceTable("Differences by language", "Language", languages),
    disclosure(`Every target and language (* marks ${CLEAR})`, differenceMap(app, differences)),
  ]);
}
