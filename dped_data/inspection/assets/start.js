// Starts the page; keyboard and addresses (#c=12 opens a capture).
"use strict";

(() => {
  const { state, byId } = dped;

  function route() {
    const match = /^#c=(\d+)$/.exec(location.hash);
    if (match) {
      dped.detail.open(Number(match[1]));
    } else {
      if (dped.detail.current()) dped.detail.hide();
      byId(location.hash.slice(1))?.scrollIntoView();
    }
  }

  const KEYS = { // of an open capture
    ArrowRight: () => dped.detail.step(1), j: () => dped.detail.step(1), ArrowLeft: () => dped.detail.step(-1), k: () => dped.detail.step(-1),
    Escape: () => dped.detail.close(),
    b: () => dped.detail.compare()?.setMode("blink"), " ": () => dped.detail.compare()?.flip(),
    m: () => dped.detail.compare()?.match.click(), o: () => dped.detail.compare()?.outline.click(),
    "+": () => dped.detail.compare()?.viewer.zoomBy(Viewer.STEP), "-": () => dped.detail.compare()?.viewer.zoomBy(1 / Viewer.STEP),
    0: () => dped.detail.compare()?.viewer.fit(), z: () => dped.detail.compare()?.viewer.pixels(),
    a: () => dped.detail.decide("accept"), r: () => dped.detail.decide("reject"), c: () => dped.detail.decide("clear"),
  };
  const LIST_KEYS = {
    j: () => dped.table.step(1), k: () => dped.table.step(-1), x: () => dped.table.mark(), Enter: () => dped.table.openHere(),
    a: () => dped.table.decide("accept"), r: () => dped.table.decide("reject"), c: () => dped.table.decide("clear"),
    "/": () => byId("search").focus(),
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const field = event.target.closest("input, select, textarea");
    if (field) {
      const typing = field.type !== "range" && field.type !== "checkbox";
      if (event.key === "Escape" || (event.key === "Enter" && typing)) field.blur();
      if (typing || event.key.startsWith("Arrow")) return;
    }
    if (event.key === "?") return byId("help").showModal();
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    if (!dped.detail.current()) {
      if (!LIST_KEYS[event.key]) return;
      LIST_KEYS[event.key]();
      event.preventDefault();
      return;
    }
    const mode = dped.Compare.MODES[Number(event.key) - 1];
    if (event.key >= "1" && event.key <= "7" && mode) dped.detail.compare()?.setMode(mode[0]);
    else if (KEYS[event.key]) KEYS[event.key]();
    else return;
    event.preventDefault();
  }

  async function start() {
    if (!state.report) {
      document.body.prepend(dped.el("p", { class: "card" }, "data/report.js is missing: copy the whole folder of the report, not the page alone."));
      return;
    }
    await dped.review.start();
    dped.detail.start();
    dped.overview.start();
    dped.table.start();
    byId("help-open").addEventListener("click", () => byId("help").showModal());
    addEventListener("keydown", onKey);
    addEventListener("hashchange", route);
    route();
    document.body.dataset.ready = "yes";
    performance.mark("ready");
  }

  start();
})();
