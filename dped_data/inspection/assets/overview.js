// The first screen: figures, checks and charts of the whole dataset.
"use strict";

dped.overview = (() => {
  const { state, el, byId, number, share, count, sum, badge } = dped;

  function tile(label, value, detail, status) {
    return el("div", { class: `tile ${status ?? ""}` }, el("span", { class: "quiet" }, label), el("strong", {}, value), el("span", { class: "quiet" }, detail));
  }

  function tiles() {
    const s = state.report.summary;
    const status = Object.fromEntries(state.report.checks.map((check) => [check.name, check.status]));
    const kept = s.captures_by_status.kept ?? 0;
    const splits = Object.entries(s.patches_by_split).map(([name, n]) => `${count(n)} ${name}`).join(" · ");
    const systematic = s.systematic_px ? number(Math.hypot(...s.systematic_px)) : "–";
    const windows = sum(s.windows_by_reason);
    byId("tiles").replaceChildren(
      tile("captures kept", `${count(kept)} / ${count(state.captures.length)}`, `${count(s.captures_by_status.rejected ?? 0)} rejected, ${count(s.captures_by_status.failed ?? 0)} failed`, status["kept captures"]),
      tile("patches", count(sum(s.patches_by_split)), splits, status.patches),
      tile("90 % lie within (CE90)", `${number(s.ce90_px)} px`, `median ${number(s.shift_px?.p50)} px, re-measured`, status["remaining shift"]),
      tile("shared by all captures", `${systematic} px`, s.systematic_px ? `random part ${number(s.random_px)} px` : "needs five captures", status["systematic shift"]),
      tile("measurable", share(s.measurable), "of the sample has the texture to tell"),
      tile("windows kept", windows ? share(s.windows_by_reason.kept / windows) : "–", `of ${count(windows)} windows`, status.coverage),
    );
  }

  function checks() {
    const rank = { fail: 0, warn: 1, unknown: 2, pass: 3 };
    const sorted = [...state.report.checks].sort((a, b) => rank[a.status] - rank[b.status]);
    byId("checks").replaceChildren(...sorted.map((check) => {
      const limits = [["warn", check.warn], ["fail", check.fail]].filter(([, v]) => v !== null).map(([name, v]) => `${name} ${v}${check.unit ? ` ${check.unit}` : ""}`);
      const show = check.captures.length ? el("button", { type: "button", class: "link", onclick: () => dped.table.showOnly(check.captures, check.name) }, `show ${check.captures.length === 1 ? "it" : `all ${count(check.captures.length)}`}`) : null;
      return el("li", {}, badge(check.status), el("div", {}, el("strong", {}, check.name), el("p", {}, check.text, " ", show), limits.length ? el("p", { class: "quiet small" }, `limits: ${limits.join(", ")}`) : null));
    }));
  }

  // Draws a chart at its place's width; keeps the place when there is no room yet.
  function draw(id, make) {
    const place = byId(id);
    const width = Math.max(220, place.clientWidth || 320);
    place.replaceChildren(make(width));
  }

  function charts() {
    const s = state.report.summary;
    const fail = state.report.checks.find((check) => check.name === "remaining shift")?.fail;
    draw("shift-chart", (w) => dped.charts.histogram(w, "shift_px", "px", [{ at: s.ce90_px, label: "CE90" }, { at: fail, label: "limit" }]));
    draw("error-chart", (w) => dped.charts.histogram(w, "error_px", "px"));
    draw("ncc-chart", (w) => dped.charts.histogram(w, "ncc", "correlation"));
    draw("drift-chart", dped.charts.drift);
    draw("brightness-chart", dped.charts.brightness);
    draw("windows-chart", (w) => dped.charts.bars(w, s.windows_by_reason, dped.charts.MEANING));
    draw("reasons-chart", (w) => dped.charts.bars(w, s.reasons));
    draw("contrast-chart", (w) => dped.charts.bars(w, s.contrast));
    draw("field-chart", (w) => {
      const { node, scale } = dped.charts.field(w);
      byId("field-text").textContent = scale ? `What every photo shares, by place in the photo (median of all captures). Largest: ${number(Math.max(...s.field.map((c) => Math.hypot(c.dx_px, c.dy_px))))} px.` : "";
      return node;
    });
  }

  function start() {
    const r = state.report;
    document.title = `${r.phone} · ${r.verdict} · pairs report`;
    byId("title").textContent = `${r.phone} and ${r.dslr}`;
    byId("verdict").replaceWith(Object.assign(badge(r.verdict), { id: "verdict" }));
    byId("about").textContent = `${r.dataset} · alignment ${r.alignment} · patches of ${r.patch_size} px · settings ${r.digest.slice(0, 10)}`;
    tiles();
    checks();
    charts();
    let timer;
    let width = innerWidth;
    addEventListener("resize", () => {
      clearTimeout(timer);
      timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; charts(); } }, 150);
    });
  }

  return { start };
})();
