// The state of the page as the fragment of its address, so that views can be cited and the back button works.

const LISTS = ["targets", "languages", "scripts", "families", "resources", "compare"];
const TEXTS = ["benchmark", "track", "columns", "english", "search", "sort", "order", "old", "model", "cells"];
const COLUMN_KINDS = ["targets", "groups", "languages"];

/** Return the state of an address without a fragment. */
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

/** Return the fragment of a state: the benchmark, and everything that differs from the first state. */
function fragmentOf(board, state) {
  const first = firstState(board);
  const parts = [];
  for (const name of TEXTS) {
    // Never empty: with an empty fragment browsers scroll to the top of the page.
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

/** Return the state of a fragment, and the unknown names in it as [what, name], which are left out. */
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
    const isKnown = (value) => {
      if (value === first[name] || known.has(value)) return true;
      unknown.push([what, value]);
      return false;
    };
    if (LISTS.includes(name)) state[name] = state[name].filter(isKnown);
    else if (!isKnown(state[name])) state[name] = first[name];
  }
  if (!COLUMN_KINDS.includes(state.columns)) state.columns = first.columns;
  state.compare = state.compare.length < 2 ? [] : state.compare.slice(0, 2);
  return { state, unknown };
}

/** Return [field of the state, what it names, known names] for the fields that an address may have wrong. */
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

/** Return the tasks and languages that a state selects; an empty list selects all. */
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
