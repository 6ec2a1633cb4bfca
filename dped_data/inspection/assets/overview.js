// The first screen: the worst captures as pictures, the one number, what is wrong; then figures and charts of the dataset.
"use strict";

dped.overview = (() => {
  const { state, el, byId, number, share, count, sum, badge } = dped;
  const PICTURES = 4;
  let redrawField = () => {};

  // The worst captures that have a picture of their worst place.
  async function worst() {
    const candidates = state.captures.filter((c) => c.pictured && c.patches > 0).slice(0, PICTURES);
    const shots = (await Promise.all(candidates.map(dped.pictures.worst))).filter(Boolean);
    byId("worst").replaceChildren(...shots);
    byId("worst-card").hidden = shots.length === 0;
    byId("worst-card").dataset.ready = "yes";
  }

  function headline() {
    const { gain, ce90_px: within, shift_px: shift } = state.report.summary;
    const figure = (value, word, kind) => el("span", { class: `figure ${kind}` }, el("strong", {}, number(value)), ` px ${word}`);
    byId("number").replaceChildren(...(gain
      ? [figure(gain.before_px, "before", "was"), el("span", { class: "arrow", "aria-hidden": "true" }, "→"), figure(gain.after_px, "after", "is")]
      : [within === null ? el("span", { class: "figure" }, "not measured") : figure(within, "remaining shift", "is")]));
    byId("number-text").textContent = gain
      ? `Within these radii lie 90 % of the same ${count(gain.count)} patches: what the single homography left of them, and what is left now, re-measured.`
      : within === null ? "No patch has the texture to be re-measured." : `Within this radius lie 90 % of ${count(shift.count)} re-measured patches.`;
    const { size, before, after } = dped.charts.field();
    if (!after.length) {
      byId("field-chart").replaceChildren(dped.isLoose() ? "" : el("p", { class: "quiet small" }, "A field that all photos share needs five captures with texture."));
      byId("number-card").after(byId("tiles")); // where the arrows leave room
    } else redrawField = dped.charts.quivers(byId("field-chart"), size, before, after, { before: "before: median of all photos", after: "after, re-measured" });
  }

  function tile(label, value, detail, status) {
    return el("div", { class: `tile ${status ?? ""}` }, el("span", { class: "quiet" }, label), el("strong", {}, value), el("span", { class: "quiet" }, detail));
  }

  function tiles() {
    const s = state.report.summary;
    const status = Object.fromEntries(state.report.checks.map((check) => [check.name, check.status]));
    const kept = s.captures_by_status.kept ?? 0;
    const splits = Object.entries(s.patches_by_split).map(([name, n]) => `${count(n)} ${name}`).join(" · ");
    const windows = sum(s.windows_by_reason);
    // What this set cannot have is no tile: loose patches come from no captures and from no windows.
    byId("tiles").replaceChildren(...[
      dped.isLoose() ? null : tile("captures kept", `${count(kept)} / ${count(state.captures.length)}`, `${count(s.captures_by_status.rejected ?? 0)} rejected, ${count(s.captures_by_status.failed ?? 0)} failed`, status["kept captures"]),
      tile("patches", count(sum(s.patches_by_split)), splits, status.patches),
      tile("90 % lie within (CE90)", `${number(s.ce90_px)} px`, `median ${number(s.shift_px?.p50)} px, re-measured`, status["remaining shift"]),
      s.systematic_px ? tile(`shared by all ${dped.isLoose() ? "patches" : "captures"}`, `${number(Math.hypot(...s.systematic_px))} px`, `random part ${number(s.random_px)} px`, status["systematic shift"]) : null,
      tile("measurable", share(s.measurable), "of the sample has the texture to tell"),
      windows ? tile("windows kept", share(s.windows_by_reason.kept / windows), `of ${count(windows)} windows`, status.coverage) : null,
    ].filter(Boolean));
  }

  function line(check) {
    const limits = [["warn", check.warn], ["fail", check.fail]].filter(([, v]) => v !== null).map(([name, v]) => `${name} ${v}${check.unit ? ` ${check.unit}` : ""}`);
    const seen = check.of ? `measured in ${count(check.count)} of ${count(check.of)}` : null;
    const more = [limits.length ? `limits: ${limits.join(", ")}` : null, seen].filter(Boolean).join(" · ");
    const show = check.captures.length ? el("button", { type: "button", class: "link", onclick: () => dped.table.showOnly(check.captures, check.name) }, `show ${check.captures.length === 1 ? "it" : `all ${count(check.captures.length)}`}`) : null;
    return el("li", {}, badge(check.status), el("div", {}, el("strong", {}, check.name), el("p", {}, check.text, " ", show), more ? el("p", { class: "quiet small" }, more) : null));
  }

  // What is wrong, worst first; what passed is folded away.
  function checks() {
    const rank = { fail: 0, warn: 1, unknown: 2, pass: 3 };
    const sorted = [...state.report.checks].sort((a, b) => rank[a.status] - rank[b.status]);
    const open = sorted.filter((check) => check.status !== "pass"), passed = sorted.filter((check) => check.status === "pass");
    byId("checks").replaceChildren(...open.map(line));
    byId("passed").replaceChildren(...passed.map(line));
    byId("passed-count").textContent = `${passed.length} of ${sorted.length} checks passed`;
    byId("passed-fold").hidden = !passed.length;
  }

  // Draws a chart at its place's width; keeps the place when there is no room yet. A card with nothing to show is none.
  function draw(id, make) {
    const place = byId(id), card = place.closest(".card");
    const chart = make(Math.max(220, place.clientWidth || 320));
    card.hidden = chart.matches(".empty");
    place.replaceChildren(chart);
  }

  function charts() {
    const s = state.report.summary;
    const fail = state.report.checks.find((check) => check.name === "remaining shift")?.fail;
    draw("shift-chart", (w) => dped.charts.histogram(w, "shift_px", "px", [{ at: s.ce90_px, label: "CE90" }, { at: fail, label: "limit" }]));
    draw("error-chart", (w) => dped.charts.histogram(w, "error_px", "px"));
    draw("ncc-chart", (w) => dped.charts.histogram(w, "ncc", "correlation"));
    draw("drift-chart", dped.isLoose() ? () => dped.charts.empty("no captures") : dped.charts.drift);
    draw("brightness-chart", dped.charts.brightness);
    draw("windows-chart", () => dped.charts.bars(s.windows_by_reason, dped.charts.MEANING));
    draw("reasons-chart", () => dped.charts.bars(s.reasons));
    draw("contrast-chart", () => dped.charts.bars(s.contrast));
    redrawField();
  }

  function start() {
    const r = state.report;
    document.title = `${r.phone} · ${r.verdict} · pairs report`;
    byId("title").textContent = `${r.phone} and ${r.dslr}`;
    byId("verdict").replaceWith(Object.assign(badge(r.verdict), { id: "verdict" }));
    byId("weakest").textContent = r.weakest && r.verdict !== "pass" ? `weakest: ${r.weakest}` : "";
    byId("about").textContent = [`alignment ${r.alignment}`, `patches of ${r.patch_size} px`, r.digest && `settings ${r.digest.slice(0, 10)}`].filter(Boolean).join(" · ");
    if (dped.isLoose()) {
      byId("to-captures").textContent = "Patches";
      byId("captures-title").textContent = `Patches, the worst ${count(state.captures.length)} of ${count(sum(r.summary.patches_by_split))}`;
    }
    headline();
    tiles();
    checks();
    charts();
    worst();
    let timer;
    let width = innerWidth;
    addEventListener("resize", () => {
      clearTimeout(timer);
      timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; charts(); } }, 150);
    });
  }

  return { start };
})();
