// The list of captures: filters, search, sorting; rows are made as they come into view.
"use strict";

dped.table = (() => {
  const { state, el, byId, number, share, count, chip, folderOf } = dped;
  const CHUNK = 60;
  const COLUMNS = [
    { name: "#", key: (c) => c.rank, cell: (c) => c.rank, class: "num rank" },
    { name: "", key: null, cell: picture, class: "picture" },
    { name: "capture", key: (c) => c.capture_id, cell: (c) => el("a", { href: `#c=${c.index}` }, c.capture_id), class: "name" },
    { name: "what", key: (c) => c.flags.join(), cell: what, class: "what" },
    { name: "split", key: (c) => c.split, cell: (c) => c.split, class: "split" },
    { name: "patches", key: (c) => c.patches, cell: (c) => count(c.patches), class: "num wide" },
    { name: "kept", key: (c) => c.coverage, cell: (c) => share(c.windows ? c.coverage : null), class: "num wide" },
    { name: "ncc", key: (c) => c.ncc_p50, cell: (c) => number(c.ncc_p50), class: "num wide" },
    { name: "predicted", key: (c) => c.error_p50_px, cell: (c) => number(c.error_p50_px), class: "num wide", unit: "px" },
    { name: "shift", key: (c) => c.shift_length_px, cell: (c) => number(c.shift_length_px), class: "num", unit: "px" },
    { name: "review", key: (c) => dped.review.verdictOf(c.capture_id) ?? "", cell: mark, class: "mark" },
  ];
  let order = { column: 0, descending: false };
  let only = null; // {ids, label}
  let made = 0;

  function picture(c) {
    return c.pictured ? el("img", { src: `${folderOf(c.index)}/thumb.jpg`, alt: "", loading: "lazy", width: 96, height: 72 }) : "";
  }

  function what(c) {
    return el("span", {}, c.flags.map(chip), c.reason ? el("span", { class: "quiet" }, ` ${c.reason}${c.measured !== null ? ` (${number(c.measured, 1)} against ${number(c.limit, 1)})` : ""}`) : null);
  }

  function mark(c) {
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
    const filtered = state.shown.length !== state.captures.length;
    byId("count").textContent = `${count(state.shown.length)}${filtered ? ` of ${count(state.captures.length)}` : ""} captures${only ? `, check: ${only.label}` : ""}`;
    head();
  }

  function row(c) {
    const open = (event) => { if (!event.target.closest("a")) location.hash = `c=${c.index}`; };
    const tr = el("tr", { "data-index": c.index, onclick: open, class: c.severity >= 1 ? "bad" : null });
    tr.append(...COLUMNS.map((column) => el("td", { class: column.class }, column.cell(c))));
    return tr;
  }

  function more() {
    const next = state.shown.slice(made, made + CHUNK);
    byId("rows").append(...next.map(row));
    made += next.length;
  }

  function head() {
    byId("head").replaceChildren(...COLUMNS.map((column, k) => {
      const sorted = order.column === k ? (order.descending ? "descending" : "ascending") : null;
      const label = `${column.name}${column.unit ? `, ${column.unit}` : ""}${sorted ? (order.descending ? " ↓" : " ↑") : ""}`;
      const sort = () => { order = { column: k, descending: order.column === k ? !order.descending : column.class.includes("num") && k > 0 }; apply(); };
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

  function start() {
    options("filter-split", "all splits", tally(state.captures.map((c) => c.split)));
    options("filter-status", "any status", tally(state.captures.map((c) => c.status)));
    options("filter-flag", "any fault", tally(state.captures.flatMap((c) => c.flags)));
    options("filter-review", "any review", [["open", "not reviewed"], ["accept", "accepted"], ["reject", "rejected"]]);
    byId("search").addEventListener("input", apply);
    byId("filter-clear").addEventListener("click", clear);
    new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) more(); }, { rootMargin: "800px" }).observe(byId("more"));
    dped.review.onChange(() => {
      for (const tr of byId("rows").children) {
        const c = state.byIndex.get(Number(tr.dataset.index));
        tr.lastElementChild.replaceChildren(mark(c));
      }
    });
    apply();
  }

  return { start, showOnly, apply };
})();
