// The data that the page carries, as typed arrays of rows by slots. A slot is a language of a task.

/** Stands for "none" among hundredths of a percent. */
const ABSENT = 65535;
const ARRAYS = {
  float64: Float64Array, float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array,
};

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Return the numbers of a column; of one whose rows are mostly alike come the shared row and what differs from it. */
function numbersOf({ type, rows, common, places, values }) {
  const read = (base64, kind = type) => new ARRAYS[kind](bytesOf(base64).buffer);
  if (!common) return read(values);
  const shared = read(common);
  const made = new ARRAYS[type](rows * shared.length);
  for (let row = 0; row < rows; row++) made.set(shared, row * shared.length);
  const others = read(values);
  read(places, "int32").forEach((place, i) => {
    made[place] = others[i];
  });
  return made;
}

function readScript(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** Return the board with everything found by name that is looked up often. */
function readBoard() {
  const board = readScript("board");
  for (const [name, column] of Object.entries(board.columns)) {
    board.columns[name] = numbersOf(column);
  }
  board.width = board.slots.length;
  board.taskNamed = new Map(board.tasks.map((task) => [task.name, task]));
  board.languageOf = new Map(board.languages.map((language) => [language.code, language]));
  board.benchmarkNamed = new Map(board.benchmarks.map((benchmark) => [benchmark.name, benchmark]));
  board.slotOf = new Map(board.slots.map(([task, code], slot) => [`${task}/${code}`, slot]));
  board.indexOf = new Map(board.rows.map((row, index) => [row.id, index]));
  board.rows.forEach((row, index) => {
    row.index = index;
    row.board_track = trackLabel(row.track);
    row.sought = `${row.name} ${row.submitted_by ?? ""}`.toLowerCase();
  });
  tellApart(board.rows);
  board.english = new Set(board.tasks.map((task) => task.english).filter(Boolean));
  board.told = new Map();
  return board;
}

/** Return what is known of a row beside its name: who submitted it and of how many seeds, or the source of figures. */
function knownBy(row) {
  if (row.kind === "reported") return row.source;
  return [row.submitted_by && `by ${row.submitted_by}`, plural(row.seeds, "seed"), standingOf(row)]
    .filter(Boolean).join(", ");
}

function standingOf(row) {
  return row.withdrawn ? "withdrawn" : row.superseded_by ? "superseded" : "";
}

/** Write into rows that share a name what tells them apart; of their ids only where nothing else does. */
function tellApart(rows) {
  const counted = (of) => {
    const counts = new Map();
    for (const row of rows) counts.set(of(row), (counts.get(of(row)) ?? 0) + 1);
    return (row) => counts.get(of(row));
  };
  const named = counted((row) => row.name);
  const alike = counted((row) => JSON.stringify([row.name, knownBy(row)]));
  for (const row of rows) {
    const id = row.kind === "reported" ? row.id : row.id.slice(-12);
    const words = [knownBy(row), alike(row) > 1 && id].filter(Boolean).join(", ");
    row.apart = named(row) > 1 ? words : "";
  }
}

/** Return the board track of a row; "" where its source does not say it. */
function trackLabel(track) {
  const parts = [track?.architecture, track?.phase, track?.training];
  return parts.every(Boolean) ? parts.join(", ") : "";
}

/** Return what the build says of a task in a benchmark, for all rows: the mean, and whether it is complete. */
function toldOf(board, benchmark, task) {
  const key = `${benchmark}/${task}`;
  if (!board.told.has(key)) {
    const mean = new Float64Array(board.rows.length).fill(NaN);
    const complete = new Uint8Array(board.rows.length);
    board.rows.forEach((row, index) => {
      mean[index] = row.means[benchmark]?.[task] ?? NaN;
      complete[index] = row.complete[benchmark]?.includes(task) ? 1 : 0;
    });
    board.told.set(key, { mean, complete });
  }
  return board.told.get(key);
}

/** Return the languages of a benchmark's tasks, in the order of the board's languages. */
function languagesOf(board, benchmark) {
  const codes = new Set();
  for (const name of board.benchmarkNamed.get(benchmark).tasks) {
    for (const code of board.taskNamed.get(name)?.benchmarks[benchmark] ?? []) codes.add(code);
  }
  return board.languages.filter((language) => codes.has(language.code));
}

/** Return the resource class of a language as it is shown. */
function resourceOf(language) {
  return Number.isInteger(language.joshi_class) ? `class ${language.joshi_class}` : "class not known";
}

let details = null;

/** Return what is shown of a row only when it is opened; it is read at the first call. */
function detailOf(row) {
  details ??= readScript("details");
  return { ...details.rows[row.index], records: details.data };
}
