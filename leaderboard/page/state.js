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

/** Return the state of a fragment; what is not known on this board is left out. */
function stateOf(board, fragment) {
  const state = firstState(board);
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const [name, value = ""] = part.split("=", 2);
    if (TEXTS.includes(name)) state[name] = decoded(value);
    if (LISTS.includes(name)) state[name] = value.split(",").map(decoded).filter(Boolean);
  }
  const first = firstState(board);
  if (!board.benchmarkNamed.has(state.benchmark)) state.benchmark = first.benchmark;
  if (!board.rows.some((row) => row.board_track === state.track)) state.track = first.track;
  if (!COLUMN_KINDS.includes(state.columns)) state.columns = first.columns;
  state.targets = state.targets.filter((name) => board.taskNamed.has(name));
  state.languages = state.languages.filter((code) => board.languageOf.has(code));
  if (!board.indexOf.has(state.model)) state.model = "";
  state.compare = state.compare.filter((id) => board.indexOf.has(id)).slice(0, 2);
  if (state.compare.length < 2) state.compare = [];
  return state;
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
