// The heat map of a model: scores by language and target.

const CELL_KINDS = [
  ["score", "Score"],
  ["interval", "95 % interval"],
  ["deviation", "Deviation over seeds"],
  ["metrics", "Single metrics"],
  ["n", "Examples"],
];

/** Return a shade from 0 to 12 for a score in percent, in steps of five points from 35. */
function heat(score) {
  return Math.max(0, Math.min(12, Math.floor((score - 35) / 5)));
}

function hundredths(value) {
  return value === ABSENT ? null : value / 100;
}

/** Return the text of a cell: the score, or what the reader selected instead. */
function cellText(board, row, task, slotIndex, kind) {
  const { score, low, high, deviation, n, metrics } = board.columns;
  const index = row.index * board.width + slotIndex;
  if (kind === "interval") {
    const ends = [hundredths(low[index]), hundredths(high[index])];
    return ends.includes(null) ? "–" : ends.map(oneDecimal).join("–");
  }
  if (kind === "deviation") {
    const value = hundredths(deviation[index]);
    return value === null ? "–" : `±${oneDecimal(value)}`;
  }
  if (kind === "n") return n[index] ? n[index].toLocaleString("en") : "–";
  if (kind === "metrics" && task.score_keys.length > 1) {
    const width = metrics.length / (board.rows.length * board.width);
    return task.score_keys.map((_, i) => oneDecimal(hundredths(metrics[index * width + i]))).join(" / ");
  }
  return oneDecimal(score[index]);
}

function heatCell(app, row, task, code) {
  const { board, view, state } = app;
  if (!(task.benchmarks[view.benchmark] ?? []).includes(code)) return element("td", { class: "void" });
  const slotIndex = slot(board, task, code);
  const index = row.index * board.width + slotIndex;
  const score = board.columns.score[index];
  if (Number.isNaN(score)) return element("td", { class: "number none", title: "No score" }, "–");
  const cell = element("td", { class: `number heat h${heat(score)}`, "data-cell": `${task.name}/${code}` },
    cellText(board, row, task, slotIndex, state.cells));
  const isPartial = row.kind !== "reported" && !board.columns.whole[index];
  if (isPartial) cell.append(element("span", { class: "word" }, "partial"));
  return cell;
}

/** Return the heat map of a row over the tasks and languages of the view. */
function heatmap(app, row) {
  const { board, view, state } = app;
  const shown = new Set(view.taskColumns.flatMap((column) => column.languages));
  const languages = board.languages.filter(({ code }) => shown.has(code));
  // If the cells show something else, the means are still scores.
  const mean = state.cells === "score" ? "Mean" : "Mean score";
  const means = languages.map((language) => languageColumn(board, view.tasks, view.benchmark, language));
  const head = element("tr", {}, element("th", { scope: "col", class: "model" }, "Language"),
    view.tasks.map((task) => element("th", { scope: "col", class: "number", title: task.title },
      heading(shortTitle(task)), element("span", { class: "hint", title: scoreInWords(task) }, scoresOf(task)))),
    element("th", { scope: "col", class: "number column-average" }, mean));
  const lines = languages.map((language, i) => element("tr", {},
    element("th", { scope: "row", class: "model", title: `${language.family}, ${language.script}` }, language.name,
      element("span", { class: "hint" }, `${language.code} · ${language.script} · ${resourceOf(language)}`)),
    view.tasks.map((task) => heatCell(app, row, task, language.code)),
    valueCell(means[i], row, " column-average")));
  const foot = element("tr", {}, element("th", { scope: "row", class: "model" }, mean),
    view.taskColumns.map((column) => valueCell(column, row)),
    valueCell(view.average, row, " column-average"));
  return element("table", { class: "heatmap" },
    element("thead", {}, head), element("tbody", {}, lines), element("tfoot", {}, foot));
}

function legend() {
  const steps = [35, 45, 55, 65, 75, 85, 95];
  return element("p", { class: "legend" }, "Shade: ",
    steps.map((score) => element("span", { class: `heat h${heat(score)}` }, String(score))));
}
