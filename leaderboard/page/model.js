// The dialog of a model: averages, heat map, scores by seed, and provenance.

function scrolling(label, ...children) {
  return element("div", { class: "scrolling", role: "region", "aria-label": label, tabindex: "0" }, children);
}

/** Return the averages of a row: of each benchmark, and over the selection. */
function summaryFigures(app, row) {
  const benchmarkFigures = app.board.benchmarks.map(({ name, title }) => {
    const value = row.overall[name];
    return element("div", { class: "figure", "data-figure": name }, element("strong", {}, oneDecimal(value)),
      element("span", {}, typeof value === "number" ? title : `${title}: incomplete`));
  });
  const average = app.view.average;
  const partial = average.states[row.index] === PARTIAL ? ["partial", targetsOf(average, row)] : [];
  const chosen = element("div", { class: "figure", "data-figure": "chosen" },
    element("strong", {}, oneDecimal(average.values[row.index])),
    element("span", {}, ["over the selection below", ...partial].filter(Boolean).join(", ")),
    element("span", { class: "interval" }));
  return element("div", { class: "figures" }, benchmarkFigures, chosen);
}

/** Write the interval of the average over the selection, once the replicates are loaded. */
async function showInterval(app, row, output) {
  const replicates = await replicatesOf(row);
  const shared = sharedSlots(app.board, app.view, [row]);
  const sums = weightedReplicates(app.board, replicates, weightsOf(app.board, row, shared));
  if (sums && shared.length) output.textContent = `95 % interval ${interval95(sums).map(oneDecimal).join(" to ")}`;
}

const HUB = "https://huggingface.co";

/** Return a link to a repository on the Hub, or only the text if the id is not a repository id. */
function hubLink(id, revision, kind = "") {
  if (!/^[\w.-]+\/[\w.-]+$/.test(id ?? "")) return id;
  const at = /^[0-9a-f]{40}$/.test(revision ?? "") ? `/tree/${revision}` : "";
  return linkTo(`${HUB}/${kind}${id}${at}`, id);
}

function recordLink(app, row) {
  const { repo, sha } = app.board.built_from;
  if (row.kind === "reported" || !/^[\w.-]+\/[\w.-]+$/.test(repo ?? "") || !/^[0-9a-f]{40}$/.test(sha ?? "")) return "";
  const address = `${HUB}/datasets/${repo}/tree/${sha}/submissions/${encodeURIComponent(row.id)}`;
  return linkTo(address, "predictions and record");
}

/** Return the provenance of a row. */
function provenance(app, row, detail) {
  const { model, source } = detail;
  const declared = row.declarations ?? {};
  return definitions([
    ["Submission", row.kind === "reported" ? "" : row.id],
    ["Source", source.url ? linkTo(source.url, source.text ?? source.url) : source.text],
    ["Record", recordLink(app, row)],
    ["Submitted by", row.submitted_by],
    ["Model", hubLink(model.repo, model.revision)],
    ["Revision", model.revision],
    ["Content hash", model.content],
    ["Base", model.base],
    ["Parameters", model.parameters?.toLocaleString("en")],
    ["Paper", model.paper && linkTo(model.paper, model.paper)],
    ["Web page", model.url && linkTo(model.url, model.url)],
    ["Track", row.board_track || "not stated"],
    ["Checkpoint selected on", row.track?.selected_by],
    ["Seeds", detail.seeds.join(", ")],
    ["Saw test data", declared.saw_test_data],
    ["Translated data", declared.translated_data === undefined ? "" : declared.translated_data ? "yes" : "no"],
    ["Notes", declared.notes],
    ["Superseded by", row.superseded_by],
  ]);
}

/** Return a table of data and spec hashes, one row per target and language; null if there are none. */
function dataTable(app, row, records) {
  const { board } = app;
  if (!board.columns.data || !records.length) return null;
  const lines = [];
  for (const task of board.tasks) {
    for (const code of task.languages) {
      const record = records[board.columns.data[row.index * board.width + slot(board, task, code)]];
      if (!record) continue;
      lines.push(element("tr", {}, element("th", { scope: "row" }, `${task.title}, ${code}`),
        ["data_hash", "spec_hash", "source", "revision", "status"].map((name) =>
          element("td", {}, element("bdi", { class: "code" }, record[name] ?? "–")))));
    }
  }
  if (!lines.length) return null;
  const head = ["Target, language", "Data hash", "Spec hash", "Source", "Revision", "Status"];
  return disclosure("Data and specs", scrolling("Data and specs", element("table", { class: "records" },
    element("thead", {}, element("tr", {}, head.map((word) => element("th", { scope: "col" }, word)))),
    element("tbody", {}, lines))));
}

function disclosure(title, ...children) {
  return element("details", {}, element("summary", {}, title), children);
}

/** Return a disclosure whose content is created when it is first opened. */
function lazyDisclosure(title, make) {
  const box = disclosure(title);
  box.addEventListener("toggle", () => box.append(make()), { once: true });
  return box;
}

function pairsOf(title, pairs) {
  return pairs.length ? disclosure(title, definitions(pairs)) : null;
}

/** Return the means of a row by target, for rows without scores of single languages. */
function meansOf(app, row) {
  const known = app.view.taskColumns.filter((column) => column.states[row.index] !== NONE);
  return definitions(known.map((column) => [column.title, oneDecimal(column.values[row.index])]));
}

/** Fill the dialog of a model. */
function showModel(app, row) {
  const detail = detailsOf(row);
  const section = SECTIONS.find(({ key }) => key === sectionOf(row));
  const boxes = summaryFigures(app, row);
  const map = scrolling(`Scores of ${row.name} by language and target`);
  const fill = () => map.replaceChildren(heatmap(app, row));
  fill();
  const kinds = segments("Show in cells", CELL_KINDS, app.state.cells, (kind) => app.change({ cells: kind }));
  const compare = () => {
    pickRow(app, row, true);
    app.change(app.picks.length === 2 ? { model: "", compare: app.picks } : { model: "" });
  };
  const waiting = app.picks.length && !app.picks.includes(row.id);
  const label = waiting ? "Compare with the selected model" : "Select for comparison";
  const content = sharedSlots(app.board, app.view, [row]).length
    ? [element("div", { class: "bar" }, kinds, legend()), map]
    : [element("p", { class: "empty" }, "No scores of single languages in this selection."), meansOf(app, row)];
  fillDialog("model", [
    element("h2", { tabindex: "-1", autofocus: true }, nameOf(row)),
    element("p", { class: "lead" }, element("span", { class: `badge ${section.key}` }, section.title), " ",
      byline(row)),
    detail.note && element("p", { class: "note" }, "Note: ", element("bdi", {}, detail.note)),
    boxes,
    element("p", { class: "note" }, summaryOf(app)),
    ...content,
    seedTables(app, row, detail),
    element("p", {}, element("button", { type: "button", on: { click: compare } }, label)),
    element("h3", {}, "Provenance"),
    provenance(app, row, detail),
    pairsOf("Settings", detail.settings),
    pairsOf("Versions", detail.versions),
    dataTable(app, row, detail.records),
  ]);
  showInterval(app, row, boxes.querySelector(".interval"));
}

/** Set the content of a dialog; if it is open, keep expanded sections and scroll position, else open it. */
function fillDialog(id, content) {
  const dialog = document.getElementById(id);
  const body = dialog.querySelector(".body");
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const titles = [...body.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
  body.replaceChildren(...content.filter(Boolean));
  if (dialog.open) {
    for (const summary of body.querySelectorAll("summary")) {
      if (titles.includes(summary.textContent)) unfold(summary.parentElement);
    }
    // An element that is put back has lost the focus.
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  } else {
    dialog.showModal();
    body.scrollTop = 0;
  }
}

/** Expand a disclosure with its content at once, so that the scroll position can be restored. */
function unfold(details) {
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
}
