// What each seed of a model scored: its means by target, and its languages where a reader asks for them.

/** Return the scores of each seed of a row by slot; null where it has one seed. */
function seedsOf(board, detail) {
  if (!detail.by_seed) return null;
  const numbers = numbersOf(detail.by_seed);
  return detail.seeds.map((_, i) => numbers.subarray(i * board.width, (i + 1) * board.width));
}

/** Return the deviation of numbers over seeds (over n - 1); NaN of fewer than two. */
function deviationOf(values) {
  if (values.length < 2) return NaN;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** Return the means of a row's seeds over the chosen languages of a task; one that lacks some of them is partial. */
function taskBySeed(app, row, seeds, task, column) {
  const slots = column.languages.map((code) => slot(app.board, task, code));
  const over = (scores) => meanOver(app.board, row.index, slots, task.average === "examples", scores);
  const has = over(null).found;
  return seeds.map(over).map(({ mean, found }) => {
    const whole = found === has;
    return { value: mean, whole, state: found ? (whole ? column.states[row.index] : PARTIAL) : NONE };
  });
}

/**
 * Return the line of a row's average over the tasks that all of its seeds have, with the mean over the same.
 *
 * Seeds differ in their tasks where some were tuned and others, as retrieval, scored once as they are. Averages over
 * unlike tasks could be compared neither with each other nor with their mean.
 */
function averageBySeed({ view }, row, count, lines) {
  const alike = lines.filter(({ seeds }) => seeds.every(({ whole }) => whole));
  const state = !alike.length ? NONE : alike.length < lines.length ? PARTIAL : view.average.states[row.index];
  const over = (of) => ({ value: alike.reduce((sum, line) => sum + of(line), 0) / alike.length, state, whole: true });
  const seeds = Array.from({ length: count }, (_, i) => over((line) => line.seeds[i].value));
  const mean = over(({ column }) => column.values[row.index]);
  const title = withHint("Average", outOf(alike.length, view.tasks.length, "target"));
  return meansRow("average", title, mean, seeds);
}

function meansRow(key, title, mean, seeds) {
  return seedRow(key, title, seeds, mean, deviationOf(seeds.filter(({ whole }) => whole).map(({ value }) => value)));
}

/** Return a table of seeds; what all of them come to stands first, as there may be twenty. */
function seedTable(label, first, seeds, bodies) {
  const head = ["Mean", "Deviation", ...seeds.map((seed) => `Seed\u00a0${seed}`)];
  return scrolling(label, element("table", { class: "seeds" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "model" }, first),
      head.map((word) => element("th", { scope: "col", class: "number" }, word)))),
    bodies));
}

/** Return a line of such a table; seeds differ by little, so its numbers have a decimal more than others. */
function seedRow(key, title, seeds, mean, deviation) {
  const spread = decimals(deviation, 2);
  return element("tr", { "data-seeds": key }, element("th", { scope: "row", class: "model" }, title),
    numberCell(mean.value, mean.state, { kind: " column-average", digits: 2 }),
    element("td", { class: "number" }, spread === "–" ? spread : `±${spread}`),
    seeds.map(({ value, state }) => numberCell(value, state, { digits: 2 })));
}

/** Return every chosen language of the row's tasks with the score of each seed. */
function languagesBySeed({ board }, row, detail, seeds, lines) {
  const { score, deviation, whole } = board.columns;
  const languageRow = (task, { code, name }) => {
    const place = slot(board, task, code);
    const at = row.index * board.width + place;
    if (Number.isNaN(score[at])) return null;
    const state = whole[at] ? COMPLETE : PARTIAL;
    const own = seeds.map((scores) => ({ value: scores[place], state: Number.isNaN(scores[place]) ? NONE : state }));
    return seedRow(`${task.name}/${code}`, name, own, { value: score[at], state }, hundredths(deviation[at]));
  };
  const bodies = lines.map(({ task, column }) => element("tbody", {},
    element("tr", { class: "section" }, element("th", { colspan: seeds.length + 3, scope: "rowgroup" },
      element("div", { class: "section-title" }, element("strong", {}, task.title)))),
    board.languages.filter(({ code }) => column.languages.includes(code)).map((each) => languageRow(task, each))));
  return seedTable("Scores of every language by seed", "Target, language", detail.seeds, bodies);
}

/** Return what each seed of a row scored in what is chosen; null where it has one seed, or no score there. */
function seedTables(app, row, detail) {
  const seeds = seedsOf(app.board, detail);
  const { tasks, taskColumns, average, benchmark } = app.view;
  const { score } = app.board.columns;
  if (!seeds || average.states[row.index] === NONE) return null;
  const lines = tasks.map((task, i) => ({ task, column: taskColumns[i] }))
    .filter(({ column }) => column.states[row.index] !== NONE)
    .map((line) => ({ ...line, seeds: taskBySeed(app, row, seeds, line.task, line.column) }));
  const rows = lines.map(({ task, column, seeds: own }) => {
    const there = column.languages.filter((code) =>
      !Number.isNaN(score[row.index * app.board.width + slot(app.board, task, code)]));
    const hint = outOf(there.length, task.benchmarks[benchmark].length, "language");
    const mean = { value: column.values[row.index], state: column.states[row.index] };
    return meansRow(task.name, withHint(shortTitle(task), hint), mean, own);
  });
  return disclosure("Scores by seed",
    element("p", { class: "note" }, "Means over the chosen languages under each seed, and the deviation of these " +
      "means. A seed that lacks a score which others have is partial there, and left out of the deviation. " +
      "The average is over the targets that no seed lacks anything of."),
    seedTable("Means by target and seed", "Target", detail.seeds, element("tbody", {},
      averageBySeed(app, row, seeds.length, lines), rows)),
    disclosureLater("Every language by seed", () => languagesBySeed(app, row, detail, seeds, lines)));
}
