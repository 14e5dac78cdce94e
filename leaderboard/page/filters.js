// The controls: benchmark, track, columns, search, and what is chosen of targets and languages.

/** Return [list of the state, legend, [value, text, explanation, count] of each option] for a benchmark. */
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
    ["resources", "Resources, from class 0 (least text) to 5 (most)", counted(resourceOf)],
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

/** Build the controls that are the same for every benchmark. */
function buildControls(app) {
  const { board } = app;
  const place = (id) => document.getElementById(id);
  const names = board.benchmarks.map(({ name, title }) => [name, title]);
  place("benchmarks").replaceChildren(segments("Benchmark", names, "", (value) =>
    app.change({ benchmark: value, targets: [], languages: [], scripts: [], families: [], resources: [] })));
  place("columns").replaceChildren(segments("Columns", COLUMN_KINDS.map((kind) => [kind, inWords(kind)]), "",
    (value) => app.change({ columns: value, sort: "average", order: "" })));
  place("track").replaceChildren(...tracksOf(board).map(([name, { rows }]) =>
    element("option", { value: name }, `${name} (${rows.toLocaleString("en")})`)));
  place("track").closest(".field").hidden = !board.rows.some((row) => row.board_track);
  place("track").addEventListener("change", (event) => app.change({ track: event.target.value }));
  place("search").addEventListener("input", (event) => app.change({ search: event.target.value }, { replace: true }));
  place("english").addEventListener("change", (event) => app.change({ english: event.target.checked ? "no" : "" }));
  place("old").addEventListener("change", (event) => app.change({ old: event.target.checked ? "1" : "" }));
  place("reset").addEventListener("click", () =>
    app.change({ targets: [], languages: [], scripts: [], families: [], resources: [], english: "", search: "" }));
  place("old-switch").hidden = !board.rows.some((row) => sectionOf(row) === "old");
}

let facetsBuiltFor = "";

/** Make the controls say what the state says. */
function showControls(app) {
  const { board, state } = app;
  if (facetsBuiltFor !== state.benchmark) {
    const made = facetsOf(board, state.benchmark).map(([name, legend, options]) => facet(app, name, legend, options));
    document.getElementById("facets").replaceChildren(...made);
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
  document.getElementById("filter-count").textContent = count ? `${count} in use` : "all";
}

function press(id, value) {
  for (const button of document.querySelectorAll(`#${id} button`)) {
    button.setAttribute("aria-pressed", String(button.dataset.value === value));
  }
}

const MOST_UNKNOWN = 5;
const LONGEST_UNKNOWN = 80;

/** Say what the address asks for that this board does not have, until it is put away or something else is chosen. */
function showUnknown(app) {
  const put = () => {
    app.unknown = [];
    showUnknown(app);
    focusBack(app);
  };
  const cut = (name) => (name.length > LONGEST_UNKNOWN ? `${name.slice(0, LONGEST_UNKNOWN)}…` : name);
  const lines = app.unknown.slice(0, MOST_UNKNOWN).map(([what, name]) =>
    element("p", {}, `There is no ${what} `, element("bdi", {}, cut(name)), " here."));
  const close = element("button", { type: "button", class: "close", "aria-label": "Put this note away",
    "data-focus": "unknown", on: { click: put } }, "×");
  document.getElementById("unknown").replaceChildren(...(lines.length ? [element("div", {}, lines), close] : []));
}

/** Return what the averages are over, as a sentence. */
function summaryOf(app) {
  const { board, view, state } = app;
  const all = board.benchmarkNamed.get(state.benchmark);
  if (!view.tasks.length) return "No target has any of the chosen languages. Choose others, or reset the filters.";
  const codes = new Set(view.taskColumns.flatMap((column) => column.languages));
  const total = languagesOf(board, state.benchmark).length;
  const whole = view.tasks.length === all.tasks.length && codes.size === total;
  const left = all.tasks.length - view.tasks.length;
  const without = chosenBy(board, state).tasks.length - view.tasks.length;
  if (whole) return `${all.title}: mean over ${plural(all.tasks.length, "target")} and ${plural(total, "language")}.`;
  const none = without ? ` ${plural(without, "chosen target")} without any of these languages left out.` : "";
  return `Mean over ${view.tasks.length}${left ? ` of ${all.tasks.length}` : ""} targets and ` +
    `${codes.size}${codes.size < total ? ` of ${total}` : ""} languages: not ${all.title}'s own average.${none}`;
}
