// The controls: benchmark, track, columns, search, and filters of targets and languages.

/** Return [list in the state, legend, [value, text, explanation, count] per option] of the filters of a benchmark. */
function facetsOf(board, benchmark) {
  const languages = languagesOf(board, benchmark);
  const values = (of) => [...new Set(languages.map(of))].sort(byName);
  const counted = (of) => values(of).map((value) => {
    const count = languages.filter((language) => of(language) === value).length;
    return [value, value, plural(count, "language"), String(count)];
  });
  const tasks = board.benchmarkNamed.get(benchmark).tasks.map((name) => board.taskNamed.get(name)).filter(Boolean);
  return [
    ["targets", "Targets", tasks.map((task) => [task.name, task.title, `${inWords(task.group)}, ${scoresOf(task)}`])],
    ["scripts", "Script", counted((language) => language.script)],
    ["families", "Family", counted((language) => language.family)],
    ["resources", "Resource class, from 0 (least text) to 5 (most)", counted(resourceOf)],
    ["languages", "Languages", languages.map(({ code, name }) => [code, name, code])],
  ];
}

function facet(app, name, legend, options) {
  const chips = options.map(([value, text, explanation, count]) =>
    element("label", { class: "chip", title: explanation },
      element("input", { type: "checkbox", name, value, "data-focus": `${name}-${value}`,
        on: { change: (event) => toggle(app, name, value, event.target.checked) } }),
      element("span", {}, text, count && element("small", {}, count))));
  return element("fieldset", {}, element("legend", {}, legend), element("div", { class: "chips" }, chips));
}

function toggle(app, name, value, on) {
  const others = app.state[name].filter((each) => each !== value);
  app.change({ [name]: on ? [...others, value] : others });
}

/** Build the controls that all benchmarks share. */
function buildControls(app) {
  const { board } = app;
  const byId = (id) => document.getElementById(id);
  const names = board.benchmarks.map(({ name, title }) => [name, title]);
  byId("benchmarks").replaceChildren(segments("Benchmark", names, "", (value) =>
    app.change({ benchmark: value, targets: [], languages: [], scripts: [], families: [], resources: [] })));
  byId("columns").replaceChildren(segments("Columns", COLUMN_KINDS.map((kind) => [kind, inWords(kind)]), "",
    (value) => app.change({ columns: value, sort: "average", order: "" })));
  byId("track").replaceChildren(...tracksOf(board).map(([name, { rows }]) =>
    element("option", { value: name }, `${name} (${rows.toLocaleString("en")})`)));
  byId("track").closest(".field").hidden = !board.rows.some((row) => row.board_track);
  byId("track").addEventListener("change", (event) => app.change({ track: event.target.value }));
  byId("search").addEventListener("input", (event) => app.change({ search: event.target.value }, { replace: true }));
  byId("english").addEventListener("change", (event) => app.change({ english: event.target.checked ? "no" : "" }));
  byId("old").addEventListener("change", (event) => app.change({ old: event.target.checked ? "1" : "" }));
  byId("reset").addEventListener("click", () =>
    app.change({ targets: [], languages: [], scripts: [], families: [], resources: [], english: "", search: "" }));
  byId("old-switch").hidden = !board.rows.some((row) => sectionOf(row) === "old");
}

let facetsBuiltFor = "";

/** Update the controls to the state. */
function showControls(app) {
  const { board, state } = app;
  if (facetsBuiltFor !== state.benchmark) {
    const facets = facetsOf(board, state.benchmark);
    const fieldsets = facets.map(([name, legend, options]) => facet(app, name, legend, options));
    document.getElementById("facets").replaceChildren(...fieldsets);
    facetsBuiltFor = state.benchmark;
  }
  for (const input of document.querySelectorAll("#facets input")) {
    input.checked = state[input.name].includes(input.value);
  }
  press("benchmarks", state.benchmark);
  press("columns", state.columns);
  document.getElementById("track").value = state.track;
  document.getElementById("english").checked = state.english === "no";
  document.getElementById("old").checked = Boolean(state.old);
  const search = document.getElementById("search");
  if (search.value !== state.search) search.value = state.search;
  const filtered = ["targets", "languages", "scripts", "families", "resources"].filter((name) => state[name].length);
  const count = filtered.length + (state.english ? 1 : 0);
  document.getElementById("filter-count").textContent = count ? `${count} active` : "all";
}

function press(id, value) {
  for (const button of document.querySelectorAll(`#${id} button`)) {
    button.setAttribute("aria-pressed", String(button.dataset.value === value));
  }
}

const MOST_UNKNOWN = 5;
const LONGEST_UNKNOWN = 80;

/** Show which names of the address are unknown on this leaderboard, until dismissed or changed. */
function showUnknown(app) {
  const dismiss = () => {
    app.unknown = [];
    showUnknown(app);
    focusBack(app);
  };
  const cut = (name) => (name.length > LONGEST_UNKNOWN ? `${name.slice(0, LONGEST_UNKNOWN)}…` : name);
  const lines = app.unknown.slice(0, MOST_UNKNOWN).map(([what, name]) =>
    element("p", {}, `This leaderboard has no ${what} `, element("bdi", {}, cut(name)), "."));
  const close = element("button", { type: "button", class: "close", "aria-label": "Dismiss this message",
    "data-focus": "unknown", on: { click: dismiss } }, "×");
  document.getElementById("unknown").replaceChildren(...(lines.length ? [element("div", {}, lines), close] : []));
}

/** Return a sentence that says what the averages are over. */
function summaryOf(app) {
  const { board, view, state } = app;
  const all = board.benchmarkNamed.get(state.benchmark);
  if (!view.tasks.length) return "No target has any of the selected languages. Select others or reset the filters.";
  const codes = new Set(view.taskColumns.flatMap((column) => column.languages));
  const total = languagesOf(board, state.benchmark).length;
  const isComplete = view.tasks.length === all.tasks.length && codes.size === total;
  const leftOut = all.tasks.length - view.tasks.length;
  const withoutLanguages = chosenBy(board, state).tasks.length - view.tasks.length;
  if (isComplete) {
    return `${all.title}: mean over ${plural(all.tasks.length, "target")} and ${plural(total, "language")}.`;
  }
  const targets = `${view.tasks.length}${leftOut ? ` of ${all.tasks.length}` : ""} targets`;
  const languages = `${codes.size}${codes.size < total ? ` of ${total}` : ""} languages`;
  const sentences = [`Mean over ${targets} and ${languages}.`, `This is not the official ${all.title} average.`];
  if (withoutLanguages) {
    sentences.push(`Left out: ${plural(withoutLanguages, "selected target")} without any of these languages.`);
  }
  return sentences.join(" ");
}
