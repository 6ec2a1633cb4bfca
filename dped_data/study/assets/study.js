// The walk through the questions. An answer counts as given only when the server has acknowledged that it is stored.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const MEMORY = `dped-study ${location.pathname}`;
  const RETRY_MS = 1000;
  let subject = null;
  let questions = [];
  let current = 0;
  let isBusy = false; // an answer is on its way
  let showing = 0; // counts what was asked for, so that late photos of another question are not shown
  let retrying = null; // what "Try again" does

  function screen(name) {
    for (const id of ["welcome", "study", "done"]) byId(id).hidden = id !== name;
    document.body.dataset.screen = name;
  }

  async function ask(path, document) {
    const options = document && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) };
    const answer = await fetch(path, options);
    if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
    return answer.json();
  }

  function remembered() {
    try { return localStorage.getItem(MEMORY); } catch { return null; }
  }

  function remember(id) {
    try {
      if (id) localStorage.setItem(MEMORY, id);
      else localStorage.removeItem(MEMORY);
    } catch { /* private windows may refuse; the address still holds the id */ }
  }

  // Load a photo; resolves when it can be painted at once.
  async function load(described) {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    image.src = described.photo;
    await image.decode();
    return { image, width: described.width, height: described.height };
  }

  function unanswered() {
    return questions.findIndex((question) => question.answer === null);
  }

  function notice(text, retry) {
    byId("notice").hidden = !text;
    byId("notice-text").textContent = text;
    byId("panes").classList.toggle("stuck", Boolean(text));
    byId("retry").hidden = !retry;
    retrying = retry;
  }

  function controls() {
    const ready = byId("panes").classList.contains("ready") && !isBusy, question = questions[current];
    for (const side of ["left", "right"]) {
      byId(`choose-${side}`).disabled = !ready;
      byId(`choose-${side}`).setAttribute("aria-pressed", String(question.answer === side));
    }
    byId("back").disabled = isBusy || current === 0;
    byId("next").disabled = isBusy || question.answer === null;
    const answered = questions.filter((entry) => entry.answer !== null).length;
    byId("progress-text").textContent = `Question ${current + 1} of ${questions.length}`;
    byId("progress-bar").style.width = `${(100 * answered) / questions.length}%`;
    document.body.dataset.question = String(current);
    document.body.dataset.ready = ready ? "yes" : "no";
  }

  async function show(index) {
    current = index;
    const mine = ++showing, question = questions[index];
    byId("panes").classList.remove("ready");
    paint([]);
    notice("", null);
    screen("study");
    controls();
    try {
      const loaded = await Promise.all([load(question.left), load(question.right)]);
      if (mine !== showing) return;
      paint(loaded); // both at once: how long a photo takes to load tells of its size
      byId("panes").classList.add("ready");
    } catch {
      if (mine !== showing) return;
      notice("The photos could not be loaded.", () => show(index));
    }
    controls();
    const following = questions[index + 1];
    if (following) for (const side of [following.left, following.right]) new Image().src = side.photo;
  }

  function go(index) {
    if (isBusy || index < 0) return;
    if (index >= questions.length) {
      if (unanswered() >= 0) show(unanswered());
      else finish();
    } else {
      show(index);
    }
  }

  function finish() {
    showing += 1;
    byId("done-count").textContent = questions.length;
    remember(null);
    screen("done");
  }

  const panes = [byId("pane-left"), byId("pane-right")];
  let shown = []; // [{image, width, height}], upright pixels
  const viewer = new Viewer(panes, (i, { scale, left, top }) => {
    const { image, width, height } = shown[i];
    Object.assign(image.style, { width: `${width * scale}px`, height: `${height * scale}px`, transform: `translate(${left}px, ${top}px)` });
    byId("zoom-out").disabled = viewer.view.zoom <= viewer.leastZoom();
    byId("zoom-in").disabled = viewer.view.zoom >= viewer.mostZoom();
  });
  panes.forEach((pane) => pane.addEventListener("contextmenu", (event) => event.preventDefault()));

  // Show two loaded photos, or none.
  function paint(loaded) {
    panes.forEach((pane, i) => {
      pane.querySelectorAll("img").forEach((image) => image.remove());
      if (loaded.length) pane.prepend(loaded[i].image);
    });
    shown = loaded;
    viewer.show(loaded.map(({ width, height }) => [width, height]));
  }

  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  // Send until the server says that it is stored; a refusal that sending again cannot cure ends it.
  async function choose(side) {
    if (isBusy || document.body.dataset.screen !== "study" || document.body.dataset.ready !== "yes") return;
    isBusy = true;
    const index = current, before = questions[index].answer;
    questions[index].answer = side;
    controls();
    for (;;) {
      try {
        await ask("answers", { subject, question: index, choice: side });
        break;
      } catch (error) {
        if (error.status && error.status < 500) {
          isBusy = false;
          questions[index].answer = before;
          controls();
          notice(`Your answer was refused: ${error.message}`, () => { notice("", null); choose(side); });
          return;
        }
        notice(error.status ? error.message : "Your answer is not saved yet: no connection. Trying again …", null);
        await pause(RETRY_MS);
      }
    }
    notice("", null);
    isBusy = false;
    go(index + 1);
  }

  async function open(id) {
    const state = await ask(`subjects/${encodeURIComponent(id)}`);
    subject = id;
    questions = state.questions;
    remember(id);
    history.replaceState(null, "", `#${id}`); // so that a reload, a bookmark or another device goes on here
    if (unanswered() >= 0) show(unanswered());
    else finish();
  }

  // Run a step of the welcome page; say there what went wrong.
  async function attempt(step) {
    byId("welcome-fault").textContent = "";
    byId("start").disabled = byId("continue").disabled = true;
    try {
      await step();
    } catch (error) {
      if (error.status === 404) remember(null);
      await welcome();
      byId("welcome-fault").textContent = error.status === 404
        ? "This participant is not known here; please start anew."
        : `The study cannot be reached now (${error.message}); please try again.`;
    }
    byId("start").disabled = byId("continue").disabled = false;
  }

  const begin = () => attempt(async () => open((await ask("subjects", {})).subject));

  async function welcome() {
    const id = remembered();
    byId("continue").hidden = !id;
    byId("start").textContent = id ? "Start as a new participant" : "Start";
    byId("start").classList.toggle("primary", !id);
    screen("welcome");
    try {
      const about = await ask("study");
      byId("name").textContent = about.title;
      byId("count").textContent = about.questions === 1 ? "once" : `${about.questions} times`;
    } catch { /* the page makes sense without */ }
  }

  byId("start").addEventListener("click", begin);
  byId("continue").addEventListener("click", () => attempt(() => open(remembered())));
  byId("back").addEventListener("click", () => go(current - 1));
  byId("next").addEventListener("click", () => go(current + 1));
  byId("retry").addEventListener("click", () => retrying?.());
  byId("review").addEventListener("click", () => show(questions.length - 1));
  byId("another").addEventListener("click", () => {
    history.replaceState(null, "", location.pathname);
    subject = null;
    welcome();
  });
  for (const side of ["left", "right"]) byId(`choose-${side}`).addEventListener("click", () => choose(side));
  byId("zoom-in").addEventListener("click", () => viewer.zoomBy(Viewer.STEP));
  byId("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / Viewer.STEP));
  byId("zoom-fit").addEventListener("click", () => viewer.fit());
  byId("zoom-pixels").addEventListener("click", () => viewer.pixels());

  const keys = {
    ArrowLeft: () => choose("left"),
    ArrowRight: () => choose("right"),
    a: () => choose("left"),
    b: () => choose("right"),
    Backspace: () => go(current - 1),
    p: () => go(current - 1),
    n: () => { if (questions[current].answer !== null) go(current + 1); },
    "+": () => viewer.zoomBy(Viewer.STEP),
    "=": () => viewer.zoomBy(Viewer.STEP),
    "-": () => viewer.zoomBy(1 / Viewer.STEP),
    0: () => viewer.fit(),
    1: () => viewer.pixels(),
  };
  document.addEventListener("keydown", (event) => {
    if (document.body.dataset.screen !== "study" || event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key.startsWith("Arrow")) return;
    const pan = event.shiftKey && { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    const action = pan ? () => viewer.panBy(...pan) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  window.addEventListener("hashchange", () => { if (location.hash.slice(1) && location.hash.slice(1) !== subject) attempt(() => open(location.hash.slice(1))); });

  const asked = location.hash.slice(1);
  if (asked) attempt(() => open(asked));
  else welcome();
})();
