// Which rows stand together, and in which order: only those that are checked are ranked.

const SECTIONS = [
  { key: "checked", title: "Checked", note: "Scores recomputed from the predictions.", ranked: true },
  {
    key: "claimed",
    title: "Not checked",
    note: "Scores as the submitter gives them; nobody has recomputed them yet. Not ranked.",
  },
  { key: "exposed", title: "Saw test data", note: "By their own declaration. Not ranked." },
  {
    key: "reported",
    title: "Published figures",
    note: "As their source gives them (a paper, a README, …), which stands below each name; nobody recomputed them. " +
      "Not ranked. What else has to be said of one stands where it is opened.",
  },
  { key: "old", title: "Superseded or withdrawn", note: "Kept so that old citations can be read. Not ranked." },
];

function sectionOf(row) {
  if (row.withdrawn || row.superseded_by) return "old";
  if (row.kind === "reported") return "reported";
  if (row.declarations?.saw_test_data === "yes") return "exposed";
  return row.checked ? "checked" : "claimed";
}

/** Return the board tracks with their numbers of rows, the fullest of checked rows first. */
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

/** Return a comparison of rows by a column: complete ones first, then partial ones, then those without a value. */
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

/** Return row index -> place by the average among checked rows that are complete; equal averages share a place. */
function ranks(rows, average) {
  const complete = rows.filter((row) => average.states[row.index] === COMPLETE).sort(orderBy(average, false));
  const places = new Map();
  complete.forEach((row, i) => {
    const before = complete[i - 1];
    const same = before && average.values[before.index] === average.values[row.index];
    places.set(row.index, same ? places.get(before.index) : i + 1);
  });
  return places;
}

/** Return the sections that have rows of a track, with their rows sorted, and the places of the ranked ones. */
function sectionsOf(board, view, { track, search, old, column, ascending }) {
  const members = new Map(SECTIONS.map((section) => [section.key, []]));
  for (const row of board.rows) {
    // A source that does not say its track is shown beside all of them, apart and not ranked.
    if (row.board_track !== track && !(row.kind === "reported" && !row.board_track)) continue;
    if (row.kind === "reported" && view.average.states[row.index] === NONE) continue;
    members.get(sectionOf(row)).push(row);
  }
  const places = ranks(members.get("checked"), view.average);
  const wanted = search.trim().toLowerCase();
  return SECTIONS.filter(({ key }) => key !== "old" || old)
    .map((section) => {
      const rows = members.get(section.key).filter((row) => row.sought.includes(wanted));
      return { ...section, rows: rows.sort(orderBy(column, ascending)), places: section.ranked ? places : new Map() };
    })
    .filter((section) => section.rows.length);
}
