// Start the page: every change goes through the state, and the state is kept in the address.

function makeApp(board) {
  const app = {
    board,
    ...stateOf(board, location.hash),
    picks: [],
    expanded: new Set(),
    sections: [],
    view: null,
    viewKey: "",
    written: "",
    opened: "",

    /** Change the state, draw it, and write it into the address, as a new history entry unless `replace`. */
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
      // Before a dialog opens, because it restores the focus when it closes; and after, for elements in the dialog.
      focusOn(focused);
      showDialogs(app);
      focusOn(focused);
      document.documentElement.dataset.took = (performance.now() - began).toFixed(1);
    },
  };
  return app;
}

/** Focus the element that replaced a redrawn one. */
function focusOn(name) {
  if (!name || document.activeElement?.dataset?.focus === name) return;
  document.querySelector(`[data-focus="${CSS.escape(name)}"]`)?.focus({ preventScroll: true });
}

/** If nothing has the focus, focus what was last used: the tray, the model's row, or the table. */
function focusBack(app) {
  const focused = document.activeElement;
  // A hidden or removed element keeps the focus until the next layout.
  if ((focused !== document.body && focused.getClientRects().length) || document.querySelector("dialog[open]")) return;
  const model = `[data-focus="${CSS.escape(`model-${app.opened}`)}"]`;
  const selectors = ["#tray:not([hidden]) .main:enabled", model, "#table"];
  const target = selectors.map((selector) => document.querySelector(selector)).find(Boolean);
  target.focus({ preventScroll: true });
}

/** Recompute the view if its inputs have changed. */
function compute(app) {
  const { tasks, languages } = chosenBy(app.board, app.state);
  const key = JSON.stringify([app.state.benchmark, app.state.columns, tasks, [...languages]]);
  if (key === app.viewKey) return;
  app.view = computeView(app.board, app.state.benchmark, tasks, languages, app.state.columns);
  app.viewKey = key;
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
      // Some browsers store nothing for file:// pages, or at all: the theme then lasts until the page is closed.
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

/** Keep the skip link from changing the address, which holds the state. */
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
