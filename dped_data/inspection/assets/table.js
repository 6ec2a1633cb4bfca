// The list of captures: filters, search, sorting; rows are made as they come into view.
"use strict";

dped.table = (() => {
  const { state, el, byId, number, share, count, chip, folderOf } = dped;
  const CHUNK = 60;
  const COLUMNS = [
    { name: "", key: null, cell: tick, class: "tick" },
    { name: "#", key: (c) => c.rank, cell: (c) => c.rank, class: "num rank" },
    { name: "", key: null, cell: picture, class: "picture" },
    { name: "capture", loose: "patch", key: (c) => c.capture_id, cell: (c) => el("a", { href: `#c=${c.index}` }, dped.name(c.capture_id)), class: "name" },
    { name: "what", key: (c) => c.flags.join(), cell: what, class: "what" },
    { name: "split", key: (c) => c.split, cell: (c) => c.split, class: "split" },
    { name: "patches", ofCaptures: true, key: (c) => c.patches, cell: (c) => count(c.patches), class: "num wide" },
    { name: "kept", ofCaptures: true, key: (c) => c.coverage, cell: (c) => share(c.windows ? c.coverage : null), class: "num least wide" },
    { name: "ncc", key: (c) => c.ncc_p50, cell: (c) => number(c.ncc_p50), class: "num least wide" },
    { name: "predicted", ofCaptures: true, key: (c) => c.error_p50_px, cell: (c) => number(c.error_p50_px), class: "num least wide", unit: "px" },
    { name: "shift", key: (c) => c.shift_length_px, cell: (c) => number(c.shift_length_px), class: "num", unit: "px" },
    { name: "review", key: (c) => dped.review.verdictOf(c.capture_id) ?? "", cell: decision, class: "mark" },
  ];
  // What loose patches have: no counts of patches, no windows, no predictions.
  const columns = () => COLUMNS.filter((column) => !(column.ofCaptures && dped.isLoose()));
  let order = { column: 1, descending: false };
  let only = null; // {ids, label}
  let made = 0;
  let here = null; // the capture that keys are for
  let last = null; // the capture marked last, where a range begins

  function tick(c) {
    return el("input", { type: "checkbox", "aria-label": `mark ${c.capture_id}`, checked: state.marked.has(c.index), onclick: (event) => mark(c, event.target.checked, event.shiftKey) });
  }

  function picture(c) {
    return c.pictured ? el("img", { src: `${folderOf(c.index)}/thumb.jpg`, alt: "", loading: "lazy", width: 96, height: 72 }) : "";
  }

  function what(c) {
    return el("span", {}, c.flags.map(chip), c.reason ? el("span", { class: "quiet" }, ` ${c.reason}${c.measured !== null ? ` (${number(c.measured, 1)} against ${number(c.limit, 1)})` : ""}`) : null);
  }

  function decision(c) {
    const verdict = dped.review.verdictOf(c.capture_id);
    return verdict ? el("span", { class: `mark-${verdict}` }, verdict === "accept" ? "✓ accepted" : "✕ rejected") : "";
  }

  function matches(c) {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = `${c.capture_id} ${c.flags.join(" ")} ${c.reason} ${c.phone_file} ${c.dslr_file}`.toLowerCase();
    const value = (id) => byId(id).value;
    const review = dped.review.verdictOf(c.capture_id) ?? "open";
    return words.every((word) => text.includes(word))
      && (!value("filter-split") || c.split === value("filter-split"))
      && (!value("filter-status") || c.status === value("filter-status"))
      && (!value("filter-flag") || c.flags.includes(value("filter-flag")))
      && (!value("filter-review") || review === value("filter-review"))
      && (!only || only.ids.has(c.capture_id));
  }

  function apply() {
    const key = COLUMNS[order.column].key;
    const direction = order.descending ? -1 : 1;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null); // unknown last, whatever the direction
      return direction * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y) || a.rank - b.rank;
    };
    state.shown = state.captures.filter(matches).sort(compare);
    byId("rows").replaceChildren();
    made = 0;
    more();
    point(state.shown.includes(here) ? here : null);
    const filtered = state.shown.length !== state.captures.length;
    byId("count").textContent = `${count(state.shown.length)}${filtered ? ` of ${count(state.captures.length)}` : ""} ${dped.isLoose() ? "patches" : "captures"}${only ? `, check: ${only.label}` : ""}`;
    head();
  }

  function row(c) {
    const open = (event) => { if (!event.target.closest("a, .tick")) location.hash = `c=${c.index}`; };
    const tr = el("tr", { "data-index": c.index, onclick: open, class: c.severity >= 1 ? "bad" : null });
    tr.classList.toggle("here", c === here);
    tr.append(...columns().map((column) => el("td", { class: column.class }, column.cell(c))));
    return tr;
  }

  function more() {
    const next = state.shown.slice(made, made + CHUNK);
    byId("rows").append(...next.map(row));
    made += next.length;
  }

  function head() {
    byId("head").replaceChildren(...columns().map((column) => {
      const k = COLUMNS.indexOf(column);
      const sorted = order.column === k ? (order.descending ? "descending" : "ascending") : null;
      const label = `${(dped.isLoose() && column.loose) || column.name}${column.unit ? `, ${column.unit}` : ""}${sorted ? (order.descending ? " ↓" : " ↑") : ""}`;
      const sort = () => { order = { column: k, descending: order.column === k ? !order.descending : column.class.includes("num") && !column.class.includes("rank") }; apply(); };
      return el("th", { class: column.class, "aria-sort": sorted, scope: "col" }, column.key ? el("button", { type: "button", onclick: sort }, label) : "");
    }));
  }

  function options(id, all, values) {
    byId(id).replaceChildren(el("option", { value: "" }, all), ...values.map(([value, text]) => el("option", { value }, text)));
    byId(id).addEventListener("change", apply);
  }

  function tally(values) {
    const counts = d3.rollup(values, (v) => v.length, (v) => v);
    return [...counts].sort((a, b) => d3.descending(a[1], b[1])).map(([value, n]) => [value, `${value} (${count(n)})`]);
  }

  function clear() {
    only = null;
    ["search", "filter-split", "filter-status", "filter-flag", "filter-review"].forEach((id) => { byId(id).value = ""; });
    apply();
  }

  function showOnly(ids, label) {
    clear();
    only = { ids: new Set(ids), label };
    apply();
    byId("captures").scrollIntoView();
  }

  const rowOf = (c) => byId("rows").querySelector(`tr[data-index="${c?.index}"]`);

  // The capture that keys are for, drawn with an outline.
  function point(c) {
    rowOf(here)?.classList.remove("here");
    here = c;
    rowOf(here)?.classList.add("here");
  }

  function step(by) {
    const at = here ? state.shown.indexOf(here) + by : 0;
    const next = state.shown[at];
    if (!next) return;
    while (made <= at) more();
    point(next);
    rowOf(next).scrollIntoView({ block: "nearest" });
  }

  function openHere() {
    if (here) location.hash = `c=${here.index}`;
  }

  // Mark a capture or take its mark away; `range`: with all that lie between it and the one marked last.
  function mark(c = here, on = !state.marked.has(c?.index), range = false) {
    if (!c) return;
    const [from, to] = [state.shown.indexOf(range && last ? last : c), state.shown.indexOf(c)].sort(d3.ascending);
    for (const each of from < 0 ? [c] : state.shown.slice(from, to + 1)) state.marked[on ? "add" : "delete"](each.index);
    last = c;
    marksChanged();
  }

  function unmark() {
    state.marked.clear();
    marksChanged();
  }

  function marksChanged() {
    for (const tr of byId("rows").children) tr.querySelector(".tick input").checked = state.marked.has(Number(tr.dataset.index));
    byId("marking").hidden = state.marked.size === 0;
    byId("marked-count").textContent = `${count(state.marked.size)} marked`;
  }

  // Record a decision for all that are marked; where none is, for the one that is pointed to, and go on to the next.
  async function decide(verdict) {
    const marked = state.captures.filter((c) => state.marked.has(c.index));
    for (const c of marked.length ? marked : here ? [here] : []) {
      if (!await dped.review.decide(c.capture_id, verdict, dped.review.noteOf(c.capture_id))) return; // the rest stays marked
      state.marked.delete(c.index);
      if (marked.length) marksChanged();
    }
    if (!marked.length && verdict !== "clear") step(1);
  }

  function start() {
    options("filter-split", "all splits", tally(state.captures.map((c) => c.split)));
    options("filter-status", "any status", tally(state.captures.map((c) => c.status)));
    options("filter-flag", "any fault", tally(state.captures.flatMap((c) => c.flags)));
    options("filter-review", "any review", [["open", "not reviewed"], ["accept", "accepted"], ["reject", "rejected"]]);
    byId("search").addEventListener("input", apply);
    byId("filter-clear").addEventListener("click", clear);
    byId("unmark").addEventListener("click", unmark);
    byId("marking").querySelectorAll("[data-verdict]").forEach((button) => button.addEventListener("click", () => decide(button.dataset.verdict)));
    new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) more(); }, { rootMargin: "800px" }).observe(byId("more"));
    dped.review.onChange(() => {
      for (const tr of byId("rows").children) {
        const c = state.byIndex.get(Number(tr.dataset.index));
        tr.lastElementChild.replaceChildren(decision(c));
      }
    });
    apply();
  }

  return { start, showOnly, step, mark, openHere, decide };
})();
