// Create elements. Untrusted text goes only into text nodes and is never parsed as markup.

/** Return a new element; children are elements or texts, `on` maps events to listeners. */
function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listen] of Object.entries(value)) node.addEventListener(event, listen);
    else if (name === "class") node.className = value;
    else if (name === "checked" || name === "disabled" || name === "value") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** Return the name of a row, isolated from the text direction around it. */
function nameOf(row) {
  return element("bdi", {}, row.name);
}

/** Return a row's name with its suffix, as elements. */
function labelElements(row) {
  return [nameOf(row), row.suffix && " ", row.suffix && element("bdi", { class: "apart" }, `(${row.suffix})`)];
}

/** Return a row's name with its suffix, as text. */
function labelText(row) {
  return row.suffix ? `${row.name} (${row.suffix})` : row.name;
}

/** Return a link to another page, or only the text if the address is not https. */
function linkTo(address, text) {
  if (!/^https:\/\/[a-z0-9.-]+(\/|$)/i.test(address ?? "")) return text ?? address ?? "";
  return element("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, text ?? address);
}

/** Return a number with one decimal and a true minus sign; a dash if it is missing. */
function oneDecimal(value) {
  return decimals(value, 1);
}

function decimals(value, count) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return value.toFixed(count).replace("-", "−");
}

function signed(value) {
  const text = oneDecimal(Math.abs(value));
  if (text === "0.0") return text;
  return (value > 0 ? "+" : "−") + text;
}

/** Allowed breaks in long words of headings, which are too wide for a phone. */
const BROKEN = ["Classi-fication", "Struc-tured", "predic-tion", "Ques-tion", "answer-ing", "Re-trieval"];

/** Return a title for a narrow column: it may be broken, but not before a single last letter. */
function heading(title) {
  const whole = title.replace(/-(?=.$)/, "\u2011");
  return BROKEN.reduce((text, word) => text.replace(word.replace("-", ""), word.replace("-", "\u00ad")), whole);
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Return a count, with the total if it is larger: "9 targets", "3 of 9 targets". */
function countOf(count, all, one) {
  return count < all ? `${count} of ${plural(all, one)}` : plural(count, one);
}

/** Return the number of targets that a value is the mean of; "" if none is missing. */
function targetsOf({ ofTargets, counts, of }, { index }) {
  return ofTargets && counts[index] < of ? countOf(counts[index], of, "target") : "";
}

function valueCell(column, row, kind = "") {
  const state = column.states[row.index];
  const cell = numberCell(column.values[row.index], state, { kind });
  const over = state === PARTIAL && targetsOf(column, row);
  if (over) cell.append(element("span", { class: "word" }, over));
  return cell;
}

/** Return a table cell with a number; partial ones say so. Plain DOM calls, since a table has thousands of cells. */
function numberCell(value, state, { kind = "", digits = 1 } = {}) {
  const cell = document.createElement("td");
  cell.className = `number${kind}${state === NONE ? " none" : ""}`;
  cell.textContent = decimals(value, digits);
  if (state === PARTIAL) cell.append(element("span", { class: "word" }, "partial"));
  return cell;
}

/** Return a group of toggle buttons of which one is pressed. */
function segments(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    element("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": value,
      "data-focus": `${label}-${value}`, on: { click: () => choose(value) } }, text));
  return element("div", { class: "segments", role: "group", "aria-label": label }, buttons);
}

/** Return a definition list of [term, value]; unknown values are left out. */
function definitions(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", {}, known.map(([term, value]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, element("bdi", {}, value)))));
}
