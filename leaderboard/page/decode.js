// Decode the data of the page into typed arrays of shape (rows, slots). A slot is one language of one task.

/** Missing value among hundredths of a percent. */
const ABSENT = 65535;
const ARRAYS = {
  float64: Float64Array, float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array,
};

function decodeBase64(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Decode a column; one with mostly equal rows is stored as a common row and the values that differ from it. */
function decodeColumn({ type, rows, common, places, values }) {
  const read = (base64, kind = type) => new ARRAYS[kind](decodeBase64(base64).buffer);
  if (!common) return read(values);
  const shared = read(common);
  const decoded = new ARRAYS[type](rows * shared.length);
  for (let row = 0; row < rows; row++) decoded.set(shared, row * shared.length);
  const others = read(values);
  read(places, "int32").forEach((index, i) => {
    decoded[index] = others[i];
  });
  return decoded;
}

function readScript(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** Return the board with maps for everything that is often looked up by name. */
function readBoard() {
  const board = readScript("board");
  for (const [name, column] of Object.entries(board.columns)) {
    board.columns[name] = decodeColumn(column);
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
    row.searchText = `${row.name} ${row.submitted_by ?? ""}`.toLowerCase();
  });
  labelDuplicates(board.rows);
  board.english = new Set(board.tasks.map((task) => task.english).filter(Boolean));
  board.buildFacts = new Map();
  return board;
}

/** Return what describes a row beside its name: submitter and number of seeds, or the source of published scores. */
function descriptionOf(row) {
  if (row.kind === "reported") return row.source;
  return [row.submitted_by && `by ${row.submitted_by}`, plural(row.seeds, "seed"), statusOf(row)]
    .filter(Boolean).join(", ");
}

function statusOf(row) {
  return row.withdrawn ? "withdrawn" : row.superseded_by ? "superseded" : "";
}

/** Give rows with the same name a suffix that distinguishes them; ids are used only if nothing else differs. */
function labelDuplicates(rows) {
  const counted = (of) => {
    const counts = new Map();
    for (const row of rows) counts.set(of(row), (counts.get(of(row)) ?? 0) + 1);
    return (row) => counts.get(of(row));
  };
  const named = counted((row) => row.name);
  const alike = counted((row) => JSON.stringify([row.name, descriptionOf(row)]));
  for (const row of rows) {
    const id = row.kind === "reported" ? row.id : row.id.slice(-12);
    const words = [descriptionOf(row), alike(row) > 1 && id].filter(Boolean).join(", ");
    row.suffix = named(row) > 1 ? words : "";
  }
}

/** Return the track of a row; "" if its source does not state it. */
function trackLabel(track) {
  const parts = [track?.architecture, track?.phase, track?.training];
  return parts.every(Boolean) ? parts.join(", ") : "";
}

/** Return what only the build knows of a task in a benchmark, for all rows: mean and completeness. */
function buildFactsOf(board, benchmark, task) {
  const key = `${benchmark}/${task}`;
  if (!board.buildFacts.has(key)) {
    const mean = new Float64Array(board.rows.length).fill(NaN);
    const complete = new Uint8Array(board.rows.length);
    board.rows.forEach((row, index) => {
      mean[index] = row.means[benchmark]?.[task] ?? NaN;
      complete[index] = row.complete[benchmark]?.includes(task) ? 1 : 0;
    });
    board.buildFacts.set(key, { mean, complete });
  }
  return board.buildFacts.get(key);
}

/** Return the languages of a benchmark's tasks, in the order of the board's languages. */
function languagesOf(board, benchmark) {
  const codes = new Set();
  for (const name of board.benchmarkNamed.get(benchmark).tasks) {
    for (const code of board.taskNamed.get(name)?.benchmarks[benchmark] ?? []) codes.add(code);
  }
  return board.languages.filter((language) => codes.has(language.code));
}

/** Return the resource class of a language as text. */
function resourceOf(language) {
  return Number.isInteger(language.joshi_class) ? `class ${language.joshi_class}` : "class unknown";
}

let details = null;

/** Return the details of a row, which are shown when it is opened; they are parsed at the first call. */
function detailsOf(row) {
  details ??= readScript("details");
  return { ...details.rows[row.index], records: details.data };
}
