// Elements of the page. Text of others goes into text nodes only; markup is never made of text.

/** Return a new element; children are elements or texts, `on` holds what it listens to. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listen] of Object.entries(value)) made.addEventListener(event, listen);
    else if (name === "class") made.className = value;
    else if (name === "checked" || name === "disabled" || name === "value") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Return a name that somebody gave, kept apart from the direction of the writing around it. */
function nameOf(row) {
  return element("bdi", {}, row.name);
}

/** Return a row's name, with what tells it from others of that name. */
function nameApart(row) {
  return [nameOf(row), row.apart && " ", row.apart && element("bdi", { class: "apart" }, `(${row.apart})`)];
}

/** Return the same as text. */
function textApart(row) {
  return row.apart ? `${row.name} (${row.apart})` : row.name;
}

/** Return a link to another page, or the text alone where its address is not of the web's safe kind. */
function linkTo(address, text) {
  if (!/^https:\/\/[a-z0-9.-]+(\/|$)/i.test(address ?? "")) return text ?? address ?? "";
  return element("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, text ?? address);
}

/** Return a number with one decimal and a true minus sign; a dash where there is none. */
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

/** Where long words of headings may be broken, as all of them together are wider than a phone. */
const BROKEN = ["Classi-fication", "Struc-tured", "predic-tion", "Ques-tion", "answer-ing", "Re-trieval"];

/** Return a title for the head of a narrow column: it may be broken, but not before a last letter alone. */
function heading(title) {
  const whole = title.replace(/-(?=.$)/, "\u2011");
  return BROKEN.reduce((text, word) => text.replace(word.replace("-", ""), word.replace("-", "\u00ad")), whole);
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** Return how many there are, and of how many where that is more: "9 targets", "3 of 9 targets". */
function outOf(count, all, one) {
  return count < all ? `${count} of ${plural(all, one)}` : plural(count, one);
}

/** Return over how many targets a row's number in a column is; "" where none is missing. */
function targetsOf({ ofTargets, found, of }, { index }) {
  return ofTargets && found[index] < of ? outOf(found[index], of, "target") : "";
}

function valueCell(column, row, kind = "") {
  const state = column.states[row.index];
  const cell = numberCell(column.values[row.index], state, { kind });
  const over = state === PARTIAL && targetsOf(column, row);
  if (over) cell.append(element("span", { class: "word" }, over));
  return cell;
}

/** Return a number as it stands in a table: partial ones with the word. Bare, since a table has thousands. */
function numberCell(value, state, { kind = "", digits = 1 } = {}) {
  const cell = document.createElement("td");
  cell.className = `number${kind}${state === NONE ? " none" : ""}`;
  cell.textContent = decimals(value, digits);
  if (state === PARTIAL) cell.append(element("span", { class: "word" }, "partial"));
  return cell;
}

/** Return a group of switches of which one is on. */
function segments(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    element("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": value,
      "data-focus": `${label}-${value}`, on: { click: () => choose(value) } }, text));
  return element("div", { class: "segments", role: "group", "aria-label": label }, buttons);
}

/** Return a definition list of [term, value]; what is not known is left out. */
function definitions(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", {}, known.map(([term, value]) =>
    element("div", {}, element("dt", {}, term), element("dd", {}, element("bdi", {}, value)))));
}
