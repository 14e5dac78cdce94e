// Puts the parts together: every change goes through the state, and the state into the address.

function makeApp(board) {
  const app = {
    board,
    ...stateOf(board, location.hash),
    picks: [],
    whole: new Set(),
    sections: [],
    view: null,
    viewed: "",
    written: "",
    opened: "",

    /** Change the state, draw it and write it into the address; as a step to go back to, unless it is to replace. */
    change(update, { replace = false } = {}) {
      app.state = { ...app.state, ...update };
      app.unknown = [];
      app.draw();
      app.written = fragmentOf(board, app.state);
      if (replace) location.replace(`#${app.written}`);
      else location.hash = app.written;
    },

    draw() {
      const began = performance.now();
      const focused = document.activeElement?.dataset?.focus;
      compute(app);
      showControls(app);
      showUnknown(app);
      showTable(app);
      showTray(app);
      // Before a dialog opens, which gives the focus back when it is closed; and after, for what is in the dialog.
      focusOn(focused);
      showDialogs(app);
      focusOn(focused);
      document.documentElement.dataset.took = (performance.now() - began).toFixed(1);
    },
  };
  return app;
}

/** Give the focus to what has taken the place of an element that was drawn anew. */
function focusOn(name) {
  if (!name || document.activeElement?.dataset?.focus === name) return;
  document.querySelector(`[data-focus="${CSS.escape(name)}"]`)?.focus({ preventScroll: true });
}

/** Give the focus that nothing has to the nearest of what was last used: the tray, the model's row, or the table. */
function focusBack(app) {
  const focused = document.activeElement;
  // What was hidden or taken out keeps the focus until the page is laid out again.
  if ((focused !== document.body && focused.getClientRects().length) || document.querySelector("dialog[open]")) return;
  const places = ["#tray:not([hidden]) .main:enabled", `[data-focus="${CSS.escape(`model-${app.opened}`)}"]`, "#table"];
  const place = places.map((selector) => document.querySelector(selector)).find(Boolean);
  place.focus({ preventScroll: true });
}

/** Compute the view anew if what it depends on has changed. */
function compute(app) {
  const { tasks, languages } = chosenBy(app.board, app.state);
  const key = JSON.stringify([app.state.benchmark, app.state.columns, tasks, [...languages]]);
  if (key === app.viewed) return;
  app.view = computeView(app.board, app.state.benchmark, tasks, languages, app.state.columns);
  app.viewed = key;
}

function showDialogs(app) {
  const { state, board } = app;
  const row = board.rows[board.indexOf.get(state.model)];
  const close = (id) => document.getElementById(id).open && document.getElementById(id).close();
  if (!row) close("model");
  if (!state.compare.length) close("comparison");
  close("copy");
  if (state.compare.length) {
    close("model");
    showComparison(app);
  } else if (row) {
    app.opened = row.id;
    showModel(app, row);
  }
  document.title = row && !state.compare.length ? `${row.name} · ${board.title}` : board.title;
}

function listenToDialogs(app) {
  document.getElementById("model").addEventListener("close", () => {
    if (app.state.model && !app.state.compare.length) app.change({ model: "" });
    focusBack(app);
  });
  document.getElementById("comparison").addEventListener("close", () => {
    if (app.state.compare.length) app.change({ compare: [] });
    focusBack(app);
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
}

const THEMES = ["auto", "light", "dark"];

function buildTheme() {
  const button = document.getElementById("theme");
  const remember = (theme) => {
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Some browsers keep nothing for pages from files, or at all; the switch then lasts until the page is closed.
    }
  };
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem("theme") ?? "auto";
  } catch {
    // As above.
  }
  show(THEMES.includes(theme) ? theme : "auto");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    show(next);
    remember(next);
  });
}

/** Let the link that skips the controls leave the address as it is, which holds the state. */
function listenToSkip() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("table").focus();
  });
}

function start() {
  buildTheme();
  const app = makeApp(readBoard());
  buildControls(app);
  listenToDialogs(app);
  listenToSkip();
  for (const kind of ["CSV", "Markdown"]) {
    document.getElementById(`copy-${kind.toLowerCase()}`).addEventListener("click", () => showCopy(app, kind));
  }
  window.addEventListener("hashchange", () => {
    const fragment = location.hash.slice(1);
    if (fragment === app.written) return;
    app.written = fragment;
    Object.assign(app, stateOf(app.board, location.hash));
    app.draw();
  });
  app.draw();
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}

start();
