// Scores by seed: means of each target, and every language on demand.

/** Return the scores of each seed of a row by slot; null for a single seed. */
function seedsOf(board, detail) {
  if (!detail.by_seed) return null;
  const numbers = decodeColumn(detail.by_seed);
  return detail.seeds.map((_, i) => numbers.subarray(i * board.width, (i + 1) * board.width));
}

/** Return the standard deviation over seeds (with n - 1); NaN for fewer than two. */
function deviationOf(values) {
  if (values.length < 2) return NaN;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** Return the mean of each seed over the selected languages of a task; partial if languages are missing. */
function taskBySeed(app, row, seeds, task, column) {
  const slots = column.languages.map((code) => slot(app.board, task, code));
  const over = (scores) => meanOver(app.board, row.index, slots, task.average === "examples", scores);
  const expected = over(null).count;
  return seeds.map(over).map(({ mean, count }) => {
    const complete = count === expected;
    return { value: mean, complete, state: count ? (complete ? column.states[row.index] : PARTIAL) : NONE };
  });
}

/**
 * Return the table row of the average over the tasks that all seeds have.
 *
 * Seeds can differ in their tasks: some tasks are tuned with several seeds, and others, such as retrieval, are scored
 * once without tuning. Averages over different tasks would not be comparable.
 */
function averageBySeed({ view }, row, count, lines) {
  const common = lines.filter(({ seeds }) => seeds.every(({ complete }) => complete));
  const state = !common.length ? NONE : common.length < lines.length ? PARTIAL : view.average.states[row.index];
  const meanOf = (of) => common.reduce((sum, line) => sum + of(line), 0) / common.length;
  const over = (of) => ({ value: meanOf(of), state, complete: true });
  const seeds = Array.from({ length: count }, (_, i) => over((line) => line.seeds[i].value));
  const mean = over(({ column }) => column.values[row.index]);
  const title = withHint("Average", countOf(common.length, view.tasks.length, "target"));
  return meansRow("average", title, mean, seeds);
}

function meansRow(key, title, mean, seeds) {
  const values = seeds.filter(({ complete }) => complete).map(({ value }) => value);
  return seedRow(key, title, seeds, mean, deviationOf(values));
}

/** Return a table of seeds; mean and deviation come first, as there may be twenty seeds. */
function seedTable(label, first, seeds, bodies) {
  const head = ["Mean", "Deviation", ...seeds.map((seed) => `Seed\u00a0${seed}`)];
  return scrolling(label, element("table", { class: "seeds" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "model" }, first),
      head.map((word) => element("th", { scope: "col", class: "number" }, word)))),
    bodies));
}

/** Return a row of such a table, with two decimals because seeds differ by little. */
function seedRow(key, title, seeds, mean, deviation) {
  const spread = decimals(deviation, 2);
  return element("tr", { "data-seeds": key }, element("th", { scope: "row", class: "model" }, title),
    numberCell(mean.value, mean.state, { kind: " column-average", digits: 2 }),
    element("td", { class: "number" }, spread === "–" ? spread : `±${spread}`),
    seeds.map(({ value, state }) => numberCell(value, state, { digits: 2 })));
}

/** Return a table of every selected language with the score of each seed. */
function languagesBySeed({ board }, row, detail, seeds, lines) {
  const { score, deviation, whole } = board.columns;
  const languageRow = (task, { code, name }) => {
    const slotIndex = slot(board, task, code);
    const index = row.index * board.width + slotIndex;
    if (Number.isNaN(score[index])) return null;
    const state = whole[index] ? COMPLETE : PARTIAL;
    const values = seeds.map((scores) => {
      const value = scores[slotIndex];
      return { value, state: Number.isNaN(value) ? NONE : state };
    });
    return seedRow(`${task.name}/${code}`, name, values, { value: score[index], state }, hundredths(deviation[index]));
  };
  const bodies = lines.map(({ task, column }) => element("tbody", {},
    element("tr", { class: "section" }, element("th", { colspan: seeds.length + 3, scope: "rowgroup" },
      element("div", { class: "section-title" }, element("strong", {}, task.title)))),
    board.languages.filter(({ code }) => column.languages.includes(code)).map((each) => languageRow(task, each))));
  return seedTable("Scores of every language by seed", "Target, language", detail.seeds, bodies);
}

/** Return the scores by seed of a row for the selection; null for a single seed, or without scores. */
function seedTables(app, row, detail) {
  const seeds = seedsOf(app.board, detail);
  const { tasks, taskColumns, average, benchmark } = app.view;
  const { score } = app.board.columns;
  if (!seeds || average.states[row.index] === NONE) return null;
  const lines = tasks.map((task, i) => ({ task, column: taskColumns[i] }))
    .filter(({ column }) => column.states[row.index] !== NONE)
    .map((line) => ({ ...line, seeds: taskBySeed(app, row, seeds, line.task, line.column) }));
  const rows = lines.map(({ task, column, seeds: values }) => {
    const scored = column.languages.filter((code) =>
      !Number.isNaN(score[row.index * app.board.width + slot(app.board, task, code)]));
    const hint = countOf(scored.length, task.benchmarks[benchmark].length, "language");
    const mean = { value: column.values[row.index], state: column.states[row.index] };
    return meansRow(task.name, withHint(shortTitle(task), hint), mean, values);
  });
  return disclosure("Scores by seed",
    element("p", { class: "note" }, "The mean over the selected languages for each seed, and the standard " +
      "deviation of these means. A seed without some of the scores that others have is partial and left out of the " +
      "deviation. The average is over the targets that are complete for every seed."),
    seedTable("Means by target and seed", "Target", detail.seeds, element("tbody", {},
      averageBySeed(app, row, seeds.length, lines), rows)),
    lazyDisclosure("Every language by seed", () => languagesBySeed(app, row, detail, seeds, lines)));
}
