// The sections of the table and the order of their rows; only checked rows are ranked.

const SECTIONS = [
  { key: "checked", title: "Checked", note: "Scores recomputed from the submitted predictions.", ranked: true },
  {
    key: "claimed",
    title: "Not checked",
    note: "Scores as claimed by the submitter and not recomputed yet. Not ranked.",
  },
  { key: "exposed", title: "Saw test data", note: "According to their submitters. Not ranked." },
  {
    key: "reported",
    title: "Published scores",
    note: "Copied from the source named below each model (a paper, a README, …) and not recomputed. Not ranked. " +
      "Open a row for remarks.",
  },
  { key: "old", title: "Superseded or withdrawn", note: "Kept so that earlier citations stay valid. Not ranked." },
];

function sectionOf(row) {
  if (row.withdrawn || row.superseded_by) return "old";
  if (row.kind === "reported") return "reported";
  if (row.declarations?.saw_test_data === "yes") return "exposed";
  return row.checked ? "checked" : "claimed";
}

/** Return the tracks with their numbers of rows, those with most checked rows first. */
function tracksOf(board) {
  const counts = new Map();
  for (const row of board.rows) {
    if (!row.board_track) continue;
    const count = counts.get(row.board_track) ?? { rows: 0, checked: 0 };
    count.rows += 1;
    count.checked += sectionOf(row) === "checked" ? 1 : 0;
    counts.set(row.board_track, count);
  }
  return [...counts].sort(([a, x], [b, y]) => y.checked - x.checked || y.rows - x.rows || (a < b ? -1 : 1));
}

const USUAL_TRACK = "encoder, tuned, zero-shot";

function firstTrack(board) {
  const tracks = tracksOf(board);
  return tracks.some(([name]) => name === USUAL_TRACK) ? USUAL_TRACK : tracks[0]?.[0] ?? "";
}

const byName = new Intl.Collator("en", { numeric: true }).compare;

/** Return a comparator of rows by a column: complete values first, then partial ones, then missing ones. */
function orderBy(column, ascending) {
  const names = (a, b) => byName(a.name, b.name) || (a.id < b.id ? -1 : 1);
  if (!column) return (a, b) => (ascending ? names(a, b) : names(b, a));
  const { values, states } = column;
  return (a, b) => {
    if (states[a.index] !== states[b.index]) return states[b.index] - states[a.index];
    const difference = values[a.index] - values[b.index];
    return (ascending ? difference : -difference) || names(a, b);
  };
}

/** Return row index -> rank by the average among complete checked rows; equal averages share a rank. */
function ranksOf(rows, average) {
  const complete = rows.filter((row) => average.states[row.index] === COMPLETE).sort(orderBy(average, false));
  const ranks = new Map();
  complete.forEach((row, i) => {
    const before = complete[i - 1];
    const same = before && average.values[before.index] === average.values[row.index];
    ranks.set(row.index, same ? ranks.get(before.index) : i + 1);
  });
  return ranks;
}

/** Return the sections that have rows of a track, with sorted rows and ranks. */
function sectionsOf(board, view, { track, search, old, column, ascending }) {
  const members = new Map(SECTIONS.map((section) => [section.key, []]));
  for (const row of board.rows) {
    // Published scores without a track are shown in every track, in their own section and not ranked.
    if (row.board_track !== track && !(row.kind === "reported" && !row.board_track)) continue;
    if (row.kind === "reported" && view.average.states[row.index] === NONE) continue;
    members.get(sectionOf(row)).push(row);
  }
  const ranks = ranksOf(members.get("checked"), view.average);
  const wanted = search.trim().toLowerCase();
  return SECTIONS.filter(({ key }) => key !== "old" || old)
    .map((section) => {
      const rows = members.get(section.key).filter((row) => row.searchText.includes(wanted));
      return { ...section, rows: rows.sort(orderBy(column, ascending)), ranks: section.ranked ? ranks : new Map() };
    })
    .filter((section) => section.rows.length);
}
