// Two models side by side: how far they differ, where, and whether more examples could turn it round.

function chooser(app, position) {
  const { board, state } = app;
  const [first] = state.compare;
  const track = board.rows[board.indexOf.get(first)].board_track;
  const ids = new Set(state.compare);
  const options = board.rows
    .filter((row) => ids.has(row.id) || (row.board_track === track && row.kind !== "reported"))
    .sort((a, b) => byName(a.name, b.name))
    .map((row) => element("option", { value: row.id }, textApart(row)));
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

/** When a difference is marked, in the table and in the map; `clear` in bootstrap.js is what it says. */
const CLEAR = "p < 0.05 and an interval that leaves out zero";

function verdict(line) {
  if (!line.interval) return "no paired data";
  if (!line.clear) return "not clear";
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

/** Return languages by targets, with the difference in each cell; clear ones in bold and with a star. */
function differenceMap(app, found) {
  const byPlace = new Map(found.cells.map((cell) => [`${cell.task.name}/${cell.code}`, cell]));
  const cellOf = (task, code) => {
    const cell = byPlace.get(`${task.name}/${code}`);
    if (!cell) return element("td", { class: "void" });
    const text = signed(cell.difference) + (cell.clear ? "*" : "");
    return element("td", { class: `number${cell.clear ? " clear" : ""}` }, text);
  };
  return scrolling("Differences by language and target", element("table", { class: "heatmap" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "model" }, "Language"),
      found.tasks.map(({ task }) =>
        element("th", { scope: "col", class: "number", title: task.title }, heading(shortTitle(task)))))),
    element("tbody", {}, found.languages.map(({ language }) => element("tr", {},
      element("th", { scope: "row", class: "model" }, language.name),
      found.tasks.map(({ task }) => cellOf(task, language.code)))))));
}

/** Return what a reader must know before believing a difference. */
function warnings(app, pair, found, paired) {
  const count = 1 + found.tasks.length + found.languages.length + found.cells.length;
  const { resamples } = paired ?? {};
  const words = [];
  if (paired) {
    words.push(`Method: paired bootstrap. ${resamples} times the same examples were drawn for both models, and the ` +
      "difference taken; the interval holds 95 % of these differences. Examples that several languages share, as " +
      "translations of one test set, are drawn together. " +
      "Examples are resampled, not training: another seed of either model can differ by more than this.");
    const byChance = count < 20 ? "fewer than one" : `about ${Math.round(count / 20)}`;
    words.push(`${count} comparisons stand below, ${found.cells.length} of them in the map at the end. ` +
      `Marked are those with ${CLEAR}. Between equal models ${byChance} of ` +
      "that many would be marked by chance alone: look at the average first, and at single languages with care. " +
      `With ${resamples} resamples p cannot be less than ${(2 / (resamples + 1)).toFixed(2)}.`);
  } else {
    words.push("No paired data: there are no replicates of both models beside this page, " +
      "so that the differences below say nothing about chance.");
  }
  if (pair[0].board_track !== pair[1].board_track) {
    words.push("These models are of different tracks: they were trained or asked in different ways.");
  }
  const some = (is, what) => pair.some(is) && words.push(`At least one of them ${what}.`);
  some((row) => !row.checked, "is not checked");
  some((row) => row.declarations?.saw_test_data === "yes", "saw test data, by its own declaration");
  some((row) => row.withdrawn || row.superseded_by, "was superseded or withdrawn");
  const whole = app.view.tasks.reduce((sum, task) =>
    sum + chosenSlots(app.board, task, app.view.benchmark, app.view.chosen).slots.length, 0);
  if (found.cells.length < whole) {
    words.push(`Only what both have is compared: ${found.cells.length} of ${whole} scores that are chosen.`);
  }
  return element("div", { class: "warnings" }, words.map((text) => element("p", {}, text)));
}

function modelLink(app, row, label) {
  const href = `#${fragmentOf(app.board, { ...app.state, compare: [], model: row.id })}`;
  return element("p", { class: "lead" }, element("strong", {}, label), " ", element("a", { href }, nameApart(row)));
}

/** Fill the dialog that compares the two models of the state. */
async function showComparison(app) {
  const { board, view, state } = app;
  const pair = state.compare.map((id) => board.rows[board.indexOf.get(id)]);
  const title = element("h2", { tabindex: "-1", autofocus: true }, "Comparison");
  const choosers = element("div", { class: "pair" },
    pair.map((row, i) => element("div", {}, modelLink(app, row, i ? "Second:" : "First:"), chooser(app, i))));
  const loading = element("p", { class: "note", role: "status" }, "Loading the replicates …");
  fillDialog("comparison", [title, choosers, loading]);
  const loaded = await Promise.all(pair.map(replicatesOf));
  // The reader may have gone on meanwhile.
  if (app.state.compare.join() !== state.compare.join()) return;
  const found = comparison(board, view, pair, loaded);
  if (!found.average) {
    const words = "These two have no score in common in what is chosen.";
    fillDialog("comparison", [title, choosers, element("p", { class: "empty" }, words)]);
    return;
  }
  const all = board.benchmarkNamed.get(view.benchmark).tasks;
  const having = (code) => all.filter((name) => board.taskNamed.get(name).benchmarks[view.benchmark].includes(code));
  const row = (key, title, count, of, what, line) => differenceRow(key, withHint(title, outOf(count, of, what)), line);
  const targets = found.tasks.map((line) =>
    row(line.task.name, line.task.title, line.count, line.task.benchmarks[view.benchmark].length, "language", line));
  const languages = found.languages.map((line) =>
    row(line.language.code, line.language.name, line.count, having(line.language.code).length, "target", line));
  const average = row("average", "Average", found.tasks.length, all.length, "target", found.average);
  fillDialog("comparison", [
    title, choosers,
    element("p", { class: "note" }, summaryOf(app)),
    warnings(app, pair, found, found.average.interval && loaded[0]),
    element("h3", {}, "By target"), differenceTable("Differences by target", "Target", [average, ...targets]),
    element("h3", {}, "By language"), differenceTable("Differences by language", "Language", languages),
    disclosure(`Every target and language (* where there is ${CLEAR})`, differenceMap(app, found)),
  ]);
}
