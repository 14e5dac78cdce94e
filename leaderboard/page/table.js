// The table of models.

/** Rows of a section that are drawn at first, fewer in a wide table; a button shows the others. */
const AT_FIRST = 50;
const AT_FIRST_IF_WIDE = 20;
const WIDE = 20;

/** Return the column and the direction that a state sorts by. */
function sortingOf(view, state) {
  const columns = [view.average, ...view.columns, view.gap];
  const column = state.sort === "name" ? null : columns.find(({ key }) => key === state.sort) ?? view.average;
  const usual = column === null || column.ascending ? "asc" : "desc";
  return { column, ascending: (state.order || usual) === "asc", usual };
}

function headCell(app, sorting, { key, title, hint, explanation }, properties) {
  const sorted = (sorting.column?.key ?? "name") === key;
  const way = sorting.ascending ? "ascending" : "descending";
  const turn = () => {
    const order = sorted ? (sorting.ascending ? "desc" : "asc") : "";
    app.change({ sort: key, order: sorted && order === sorting.usual ? "" : order });
  };
  const button = element("button", { type: "button", class: "sort", "data-focus": `sort-${key}`, on: { click: turn } },
    element("span", {}, heading(title)), element("span", { class: "arrow", "aria-hidden": "true" },
      sorted ? (sorting.ascending ? "▲" : "▼") : ""));
  return element("th", { scope: "col", "aria-sort": sorted ? way : null, ...properties }, button,
    element("span", { class: "hint", title: explanation }, hint));
}

function tableHead(app, sorting) {
  const { view } = app;
  const cells = [view.average, ...view.columns, view.gap].map((column) =>
    headCell(app, sorting, column, { class: `number column-${kindOf(view, column)}` }));
  const name = { key: "name", title: "Model", hint: "select two to compare" };
  return element("thead", {}, element("tr", {},
    headCell(app, sorting, name, { class: "model" }), cells));
}

function kindOf(view, column) {
  if (column === view.average) return "average";
  return column === view.gap ? "gap" : "part";
}

/** Return the line below a model's name, as elements; it starts with the source of published scores. */
function byline(row) {
  const parts = [
    row.kind === "reported" ? row.source : row.submitted_by && `by ${row.submitted_by}`,
    parametersOf(row),
    row.seeds > 1 ? plural(row.seeds, "seed") : "",
    row.kind === "reported" && !row.board_track ? "track not stated" : "",
    row.declarations?.saw_test_data === "unknown" ? "saw test data: unknown" : "",
    row.declarations?.translated_data ? "translated data" : "",
    statusOf(row),
    // Last, because it is free text: however long it is, nothing else is pushed out of sight.
    selectionOf(row),
  ];
  // Short parts are not broken across lines.
  return parts.filter(Boolean).flatMap((part, i) => [i ? "\u00a0· " : "",
    element("bdi", { class: part === row.source ? "source" : part.length < 20 ? "piece" : null }, part)]);
}

const DEFAULT_SELECTION = ["english-dev", "none"];
const SELECTION_WITHOUT_DATA = ["last", "average"];

/** Return how a model's checkpoint was selected, unless it was on English development data alone. */
function selectionOf(row) {
  const chosen = row.track?.selected_by;
  const are = (known) => chosen.split(", ").every((each) => known.includes(each));
  if (!chosen || are(DEFAULT_SELECTION)) return "";
  return `${are(SELECTION_WITHOUT_DATA) ? "checkpoint" : "selected on"}: ${chosen}`;
}

function parametersOf(row) {
  const count = row.parameters;
  if (!count) return "";
  const [size, unit] = count >= 1e9 ? [count / 1e9, "B"] : [count / 1e6, "M"];
  return `${size >= 100 ? Math.round(size) : size.toFixed(1)}\u00a0${unit}`;
}

function tableRow(app, row, position) {
  const { view, state } = app;
  const href = `#${fragmentOf(app.board, { ...state, model: row.id, compare: [] })}`;
  const pick = element("label", { class: "pick", title: "Select for comparison" },
    element("input", { type: "checkbox", checked: app.picks.includes(row.id), "data-focus": `pick-${row.id}`,
      "aria-label": `Compare ${labelText(row)}`, on: { change: (event) => pickRow(app, row, event.target.checked) } }));
  const name = element("div", { class: "who" },
    element("a", { href, "data-focus": `model-${row.id}` }, nameOf(row)),
    element("span", { class: "byline" }, byline(row)));
  const rank = element("span", { class: "rank" }, position ? String(position) : "–");
  return element("tr", { "data-id": row.id },
    element("th", { scope: "row", class: "model" }, element("div", { class: "entry" }, rank, name, pick)),
    valueCell(view.average, row, " column-average"),
    view.columns.map((column) => valueCell(column, row)),
    valueCell(view.gap, row, " column-gap"));
}

function pickRow(app, row, on) {
  app.picks = app.picks.filter((id) => id !== row.id);
  if (on) app.picks = [...app.picks, row.id].slice(-2);
  for (const input of document.querySelectorAll("#table .pick input")) {
    input.checked = app.picks.includes(input.closest("tr").dataset.id);
  }
  showTray(app);
}

function sectionBody(app, section, width) {
  const first = width > WIDE ? AT_FIRST_IF_WIDE : AT_FIRST;
  const limit = app.expanded.has(section.key) ? section.rows.length : first;
  const body = element("tbody", { "data-section": section.key },
    element("tr", { class: "section" }, element("th", { colspan: width, scope: "rowgroup" },
      element("div", { class: "section-title" }, element("strong", {}, section.title),
        element("span", {}, `${section.rows.length.toLocaleString("en")}. ${section.note}`)))));
  body.append(...section.rows.slice(0, limit).map((row) => tableRow(app, row, section.ranks.get(row.index))));
  if (section.rows.length > limit) {
    const more = () => {
      app.expanded.add(section.key);
      app.draw();
    };
    body.append(element("tr", { class: "more" }, element("td", { colspan: width },
      element("button", { type: "button", on: { click: more } },
        `Show all ${section.rows.length.toLocaleString("en")}`))));
  }
  return body;
}

/** Draw the table. */
function showTable(app) {
  const { board, view, state } = app;
  const sorting = sortingOf(view, state);
  const { track, search } = state;
  app.sections = sectionsOf(board, view, { track, search, old: Boolean(state.old), ...sorting });
  const width = view.columns.length + 3;
  const bodies = app.sections.map((section) => sectionBody(app, section, width));
  if (!bodies.length) bodies.push(emptyBody(app, width));
  const caption = element("caption", { class: "unseen" }, summaryOf(app));
  const table = element("table", { class: `columns-${state.columns}` }, caption, tableHead(app, sorting), bodies);
  const holder = document.getElementById("table");
  const scrolled = holder.scrollLeft;
  holder.replaceChildren(table);
  holder.scrollLeft = scrolled;
  document.getElementById("summary").textContent = summaryOf(app);
}

function emptyBody(app, width) {
  const { state, board } = app;
  let words = "No models in this track yet. Select another track above.";
  if (!board.rows.length) words = "No submissions yet. Send the first one with `xharness submit`.";
  else if (state.search) words = `No model in this track matches “${state.search}”.`;
  return element("tbody", {}, element("tr", { class: "empty" }, element("td", { colspan: width }, words)));
}

/** Show the models that are selected for comparison. */
function showTray(app) {
  const tray = document.getElementById("tray");
  const rows = app.picks.map((id) => app.board.rows[app.board.indexOf.get(id)]);
  tray.hidden = !rows.length;
  const compare = () => app.change({ compare: app.picks, model: "" });
  const clear = () => {
    const [last] = app.picks.slice(-1);
    app.picks = [];
    app.draw();
    // The button is gone: focus the model's row, or the table if the row is not drawn.
    focusOn(`pick-${last}`);
    focusBack(app);
  };
  const words = rows.flatMap((row, i) => [i ? " and " : "", ...labelElements(row)]);
  tray.replaceChildren(element("span", {}, words, rows.length < 2 ? " and …" : ""),
    element("button", { type: "button", class: "main", disabled: rows.length < 2, "data-focus": "tray-compare",
      on: { click: compare } }, "Compare"),
    element("button", { type: "button", "data-focus": "tray-clear", on: { click: clear } }, "Clear"));
}
