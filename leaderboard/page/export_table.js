// Export the table as CSV for a spreadsheet or as Markdown for a paper.

function columnsOf({ view }) {
  return [view.average, ...view.columns, view.gap];
}

/** Return the rows of the table with all their columns. */
function viewLines(app) {
  const columns = columnsOf(app);
  return app.sections.flatMap((section) => section.rows.map((row) => ({
    row, section, rank: section.ranks.get(row.index) ?? "", cells: columns.map((column) => ({
      value: column.values[row.index], state: column.states[row.index], key: column.key })),
  })));
}

/** Return a text as a CSV field; one that a spreadsheet would take for a formula gets an apostrophe. */
function csvField(text) {
  const safe = /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return /[",\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function asCsv(app) {
  const keys = columnsOf(app).map(({ key }) => key);
  const head = ["rank", "model", "submission", "section", "track", "selected_by", ...keys, "partial"];
  const lines = viewLines(app).map(({ row, section, rank, cells }) => [
    String(rank), csvField(row.name), csvField(row.id), csvField(section.title), csvField(row.board_track),
    csvField(row.track?.selected_by ?? ""),
    ...cells.map(({ value, state }) => (state === NONE ? "" : value.toFixed(4))),
    cells.filter(({ state }) => state === PARTIAL).map(({ key }) => key).join(" "),
  ]);
  return [head, ...lines].map((fields) => fields.join(",")).join("\n") + "\n";
}

function markdownText(text) {
  return text.replaceAll(/[\\`*_{}[\]<>|#!~&@$]/g, (mark) => `\\${mark}`);
}

function asMarkdown(app) {
  const columns = columnsOf(app);
  const line = (fields) => `| ${fields.join(" | ")} |`;
  const rows = viewLines(app).map(({ row, section, rank, cells }) => line([
    rank || "–", markdownText(labelText(row)), section.title.toLowerCase(),
    ...cells.map(({ value, state }) => oneDecimal(value) + (state === PARTIAL ? " (partial)" : "")),
  ]));
  const head = ["#", "Model", "Section", ...columns.map(({ title }) => markdownText(title))];
  const rule = line(["--:", "---", "---", ...columns.map(() => "--:")]);
  return [line(head), rule, ...rows, "", summaryOf(app)].join("\n") + "\n";
}

/** Show the table as text to copy, because browsers do not let every page write to the clipboard. */
function showCopy(app, kind) {
  const text = kind === "CSV" ? asCsv(app) : asMarkdown(app);
  const area = element("textarea", { readonly: true, rows: "14", spellcheck: "false", value: text,
    "aria-label": `The table as ${kind}` });
  const said = element("span", { role: "status" });
  const copy = async () => {
    area.select();
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "The browser does not allow this. The text is selected: copy it with the keyboard.";
    }
  };
  fillDialog("copy", [
    element("h2", {}, `The table as ${kind}`),
    element("p", { class: "note" },
      `${plural(viewLines(app).length, "row")}, as filtered and sorted. ${summaryOf(app)}`),
    area,
    element("p", {}, element("button", { type: "button", class: "main", autofocus: true, on: { click: copy } },
      "Copy to clipboard"), " ", said),
  ]);
}
