// What is shown, as the fragment of the address says it, so that a view can be cited and the back button works.

const LISTS = ["targets", "languages", "scripts", "families", "resources", "compare"];
const TEXTS = ["benchmark", "track", "columns", "english", "search", "sort", "order", "old", "model", "cells"];
const COLUMN_KINDS = ["targets", "groups", "languages"];

/** Return the state that an address without a fragment stands for. */
function firstState(board) {
  return {
    benchmark: board.benchmarks[0].name,
    track: firstTrack(board),
    columns: "targets",
    english: "",
    search: "",
    sort: "average",
    order: "",
    old: "",
    model: "",
    cells: "score",
    ...Object.fromEntries(LISTS.map((name) => [name, []])),
  };
}

/** Return the fragment of a state: the benchmark, and what differs from the first state. */
function fragmentOf(board, state) {
  const first = firstState(board);
  const parts = [];
  for (const name of TEXTS) {
    // Never empty: browsers take an empty fragment for the top of the page, and scroll there.
    if (name === "benchmark" || state[name] !== first[name]) parts.push(`${name}=${encodeURIComponent(state[name])}`);
  }
  for (const name of LISTS) {
    if (state[name].length) parts.push(`${name}=${state[name].map(encodeURIComponent).join(",")}`);
  }
  return parts.join("&");
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** Return the state of a fragment, and as [what, name] what is not known on this board and left out of it. */
function stateOf(board, fragment) {
  const first = firstState(board);
  const state = { ...first };
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const [name, value = ""] = part.split("=", 2);
    if (TEXTS.includes(name)) state[name] = decoded(value);
    if (LISTS.includes(name)) state[name] = value.split(",").map(decoded).filter(Boolean);
  }
  const unknown = [];
  for (const [name, what, known] of namesOn(board)) {
    const found = (value) => {
      const is = value === first[name] || known.has(value);
      if (!is) unknown.push([what, value]);
      return is;
    };
    if (LISTS.includes(name)) state[name] = state[name].filter(found);
    else if (!found(state[name])) state[name] = first[name];
  }
  if (!COLUMN_KINDS.includes(state.columns)) state.columns = first.columns;
  state.compare = state.compare.length < 2 ? [] : state.compare.slice(0, 2);
  return { state, unknown };
}

/** Return [part of a state, what it names, the names that this board has], of those that an address may have wrong. */
function namesOn(board) {
  const languages = (of) => new Set(board.languages.map(of));
  return [
    ["benchmark", "benchmark", board.benchmarkNamed],
    ["track", "track", new Set(board.rows.map((row) => row.board_track))],
    ["targets", "target", board.taskNamed],
    ["languages", "language", board.languageOf],
    ["scripts", "script", languages(({ script }) => script)],
    ["families", "family", languages(({ family }) => family)],
    ["resources", "resource class", languages(resourceOf)],
    ["model", "submission", board.indexOf],
    ["compare", "submission", board.indexOf],
  ];
}

/** Return the tasks and languages that a state chooses: nothing chosen of a kind means all of it. */
function chosenBy(board, state) {
  const names = board.benchmarkNamed.get(state.benchmark).tasks;
  const among = (list, value) => !list.length || list.includes(value);
  const languages = languagesOf(board, state.benchmark).filter(
    (language) =>
      among(state.languages, language.code) &&
      among(state.scripts, language.script) &&
      among(state.families, language.family) &&
      among(state.resources, resourceOf(language)) &&
      !(state.english === "no" && board.english.has(language.code)),
  );
  return {
    tasks: names.filter((name) => among(state.targets, name)),
    languages: new Set(languages.map((language) => language.code)),
  };
}
