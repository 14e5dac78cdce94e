// What is shown of one model: its averages, its heat map, and where its numbers come from.

function scrolling(label, ...children) {
  return element("div", { class: "scrolling", role: "region", "aria-label": label, tabindex: "0" }, children);
}

/** Return the averages of a row over both benchmarks, and over what is chosen. */
function figures(app, row) {
  const whole = app.board.benchmarks.map(({ name, title }) => {
    const value = row.overall[name];
    return element("div", { class: "figure", "data-figure": name }, element("strong", {}, oneDecimal(value)),
      element("span", {}, typeof value === "number" ? title : `${title}: not complete`));
  });
  const average = app.view.average;
  const partial = average.states[row.index] === PARTIAL ? ["partial", targetsOf(average, row)] : [];
  const chosen = element("div", { class: "figure", "data-figure": "chosen" },
    element("strong", {}, oneDecimal(average.values[row.index])),
    element("span", {}, ["over what is shown below", ...partial].filter(Boolean).join(", ")),
    element("span", { class: "interval" }));
  return element("div", { class: "figures" }, whole, chosen);
}

/** Write the interval of the average over what is chosen, once the replicates are there. */
async function showInterval(app, row, place) {
  const replicates = await replicatesOf(row);
  const shared = sharedSlots(app.board, app.view, [row]);
  const sums = weightedReplicates(app.board, replicates, weightsOf(app.board, row, shared));
  if (sums && shared.length) place.textContent = `95 % interval ${middle(sums).map(oneDecimal).join(" to ")}`;
}

const HUB = "https://huggingface.co";

/** Return a link to a place on the Hub, for an id that can be one. */
function hubLink(id, revision, kind = "") {
  if (!/^[\w.-]+\/[\w.-]+$/.test(id ?? "")) return id;
  const at = /^[0-9a-f]{40}$/.test(revision ?? "") ? `/tree/${revision}` : "";
  return linkTo(`${HUB}/${kind}${id}${at}`, id);
}

function recordLink(app, row) {
  const { repo, sha } = app.board.built_from;
  if (row.kind === "reported" || !/^[\w.-]+\/[\w.-]+$/.test(repo ?? "") || !/^[0-9a-f]{40}$/.test(sha ?? "")) return "";
  const place = `${HUB}/datasets/${repo}/tree/${sha}/submissions/${encodeURIComponent(row.id)}`;
  return linkTo(place, "predictions and record");
}

/** Return where the numbers of a row come from. */
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
    ["Track", row.board_track || "not said"],
    ["State chosen on", row.track?.selected_by],
    ["Seeds", detail.seeds.join(", ")],
    ["Saw test data", declared.saw_test_data],
    ["Translated data", declared.translated_data === undefined ? "" : declared.translated_data ? "yes" : "no"],
    ["Notes", declared.notes],
    ["Superseded by", row.superseded_by],
  ]);
}

/** Return the hashes of data and specs, one line per record and the languages that have it; null if there are none. */
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

/** Return a disclosure whose content is made when it is first opened. */
function disclosureLater(title, make) {
  const made = disclosure(title);
  made.addEventListener("toggle", () => made.append(make()), { once: true });
  return made;
}

function pairsOf(title, pairs) {
  return pairs.length ? disclosure(title, definitions(pairs)) : null;
}

/** Return the means of a row by target, for one of which nothing else is known. */
function meansOf(app, row) {
  const known = app.view.taskColumns.filter((column) => column.states[row.index] !== NONE);
  return definitions(known.map((column) => [column.title, oneDecimal(column.values[row.index])]));
}

/** Fill the dialog of a model. */
function showModel(app, row) {
  const detail = detailOf(row);
  const section = SECTIONS.find(({ key }) => key === sectionOf(row));
  const boxes = figures(app, row);
  const map = scrolling(`Scores of ${row.name} by language and target`);
  const fill = () => map.replaceChildren(heatmap(app, row));
  fill();
  const kinds = segments("In the cells", CELL_KINDS, app.state.cells, (kind) => app.change({ cells: kind }));
  const compare = () => {
    pickRow(app, row, true);
    app.change(app.picks.length === 2 ? { model: "", compare: app.picks } : { model: "" });
  };
  const waiting = app.picks.length && !app.picks.includes(row.id);
  const label = waiting ? "Compare with the model already chosen" : "Choose for comparison";
  const content = sharedSlots(app.board, app.view, [row]).length
    ? [element("div", { class: "bar" }, kinds, legend()), map]
    : [element("p", { class: "empty" }, "No score of a single language among what is chosen."), meansOf(app, row)];
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
    element("h3", {}, "Where the numbers come from"),
    provenance(app, row, detail),
    pairsOf("Settings", detail.settings),
    pairsOf("Versions", detail.versions),
    dataTable(app, row, detail.records),
  ]);
  showInterval(app, row, boxes.querySelector(".interval"));
}

/** Put content into a dialog; keep what is unfolded and where it was scrolled to if it is open, else open it. */
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
    // What is put back has lost the focus by being taken out.
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  } else {
    dialog.showModal();
    body.scrollTop = 0;
  }
}

/** Unfold a disclosure with its content, so that what is below it can be scrolled to at once. */
function unfold(details) {
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
}
