// One capture: comparator, figures, review, window map, residuals and patches.
"use strict";

dped.detail = (() => {
  const { state, el, byId, number, share, count, chip, folderOf } = dped;
  let capture = null;
  let data = null;
  let compare = null; // one for all captures: mode, zoom and position stay
  let kind = "region";
  let note = null;
  let reviewBox = null;

  const neighbours = () => {
    const list = state.shown.includes(capture) ? state.shown : state.captures;
    const at = list.indexOf(capture);
    return { list, at };
  };

  function step(by) {
    const { list, at } = neighbours();
    const next = list[at + by];
    if (next) location.hash = `c=${next.index}`;
  }

  function close() {
    const index = capture?.index;
    hide();
    history.replaceState(null, "", "#captures");
    document.querySelector(`tr[data-index="${index}"]`)?.scrollIntoView({ block: "center" });
  }

  function hide() {
    compare?.remember();
    compare?.stop();
    capture = null;
    byId("detail").hidden = true;
    byId("detail").replaceChildren();
    byId("home").hidden = false;
  }

  async function open(index) {
    const wanted = state.byIndex.get(index);
    if (!wanted) return hide();
    compare ??= new dped.Compare();
    compare.remember();
    compare.stop();
    capture = wanted;
    const loaded = await dped.loadCapture(index);
    if (capture !== wanted) return; // another one was opened meanwhile
    data = loaded;
    const first = byId("detail").hidden;
    byId("home").hidden = true;
    byId("detail").hidden = false;
    const top = scrollY;
    render();
    scrollTo(0, first ? 0 : top); // from capture to capture everything stays where it is
    preload();
  }

  // The neighbours' data and pictures, so that the next key press shows at once.
  function preload() {
    const { list, at } = neighbours();
    for (const next of [list[at + 1], list[at - 1]]) {
      if (!next) continue;
      dped.loadCapture(next.index).then((d) => {
        if (d?.region) ["phone", "dslr"].forEach((name) => { new Image().src = `${folderOf(next.index)}/${name}_region.jpg`; });
      });
    }
  }

  function render() {
    const { list, at } = neighbours();
    const go = (by, text, label) => el("button", { type: "button", onclick: () => step(by), disabled: !list[at + by], "aria-label": label, title: label }, text);
    byId("detail").replaceChildren(
      el("header", { class: "detail-head" },
        el("button", { type: "button", onclick: close, id: "back", title: "back to the list (Esc)" }, "← list"),
        go(-1, "‹", "previous capture"), go(1, "›", "next capture"),
        el("h2", {}, dped.name(capture.capture_id)),
        el("span", { class: "quiet" }, `${at + 1} of ${count(list.length)} · ${capture.split} · ${capture.status}`),
        ...capture.flags.map(chip)),
      el("div", { class: "detail-main" },
        el("div", { class: "card" }, sources(), el("div", { id: "comparator" })),
        el("div", { class: "side" }, review(), facts())),
      hasMaps() ? maps() : "",
      data?.sheet ? patches() : "",
    );
    selectSource(!data?.region ? "whole" : kind === "whole" ? "whole" : "region");
    if (hasMaps()) drawMaps();
  }

  function sourceOf(kind) {
    if (!data) return null;
    const folder = folderOf(capture.index);
    const colour = data.phone_from_dslr ?? null;
    const pair = (file, size) => ({ kind, phone: { url: `${folder}/phone${file}.jpg` }, dslr: { url: `${folder}/dslr${file}.jpg` }, size, colour });
    // The worst patch in a picture whose corner lies at (x, y) of the photo, which is `unit` times as large.
    const worst = (x, y, unit) => {
      if (!data.sheet) return null;
      const k = data.sheet[0];
      return [(data.patches.xy[2 * k] - x) * unit, (data.patches.xy[2 * k + 1] - y) * unit, data.patch * unit, data.patch * unit];
    };
    if (kind === "region") {
      const mark = worst(data.region[0], data.region[1], 1);
      return { ...pair("_region", data.region.slice(2)), mark, look: [mark[0] + mark[2] / 2, mark[1] + mark[3] / 2] };
    }
    if (kind === "whole") {
      const size = data.phone_overview ?? data.dslr_overview;
      if (!size) return null;
      const unit = size[0] / data.size[0];
      const source = { ...pair("", size), unit, mark: worst(0, 0, unit) };
      if (!data.phone_overview) source.phone = null;
      if (!data.dslr_overview) source.dslr = null;
      else source.dslr.sheet = data.patches.ncc.length ? size : data.dslr_overview;
      return source;
    }
    const s = data.patch;
    const sheet = [s * data.sheet.length, 2 * s];
    const url = `${folder}/patches.jpg`;
    return { kind: "patch", phone: { url, x: kind * s, y: 0, sheet }, dslr: { url, x: kind * s, y: s, sheet }, size: [s, s], colour };
  }

  function selectSource(wanted) {
    const source = sourceOf(wanted);
    byId("detail").querySelectorAll("[data-source]").forEach((node) => node.setAttribute("aria-pressed", node.dataset.source === String(wanted)));
    if (!source) {
      byId("comparator").replaceChildren(dped.charts.empty("no picture: neither patches nor photos are at hand"));
      return;
    }
    if (data.region) kind = wanted;
    if (!compare.root.isConnected) byId("comparator").replaceChildren(compare.root);
    compare.setSource(source);
  }

  function sources() {
    const tab = (kind, text) => el("button", { type: "button", "data-source": kind, onclick: () => selectSource(kind) }, text);
    return el("div", { class: "group sources" }, data?.region ? tab("region", "Worst place") : null,
      data?.region && Math.max(...data.size) <= data.patch ? null : tab("whole", "Whole photo"),
      el("span", { class: "quiet small" }, !data?.region ? "not aligned: no patch was kept" : data.region[0] < 0 ? "patches without a place in a photo" : `region at x ${data.region[0]}, y ${data.region[1]} of ${data.size.join("×")}`));
  }

  // Record a decision and go on to the next capture; a decision that is cleared, or could not be saved, stays in view.
  async function decide(verdict) {
    if (!capture) return;
    const decided = capture;
    const saved = await dped.review.decide(decided.capture_id, verdict, note?.value ?? "");
    if (saved && verdict !== "clear" && capture === decided) step(1);
  }

  function review() {
    note = el("input", { type: "text", id: "note", placeholder: "note (optional)", "aria-label": "note", value: dped.review.noteOf(capture.capture_id), maxlength: 500 });
    const button = (verdict, text, key) => el("button", { type: "button", class: `decide ${verdict}`, "data-verdict": verdict, title: `${text} (${key})`, onclick: () => decide(verdict) }, text);
    reviewBox = el("div", { class: "card review" }, el("h3", {}, "Review"),
      el("div", { class: "group" }, button("accept", "✓ Accept", "a"), button("reject", "✕ Reject", "r"), button("clear", "Clear", "c")), note,
      el("p", { class: "quiet small hint" }, state.report.review_hint || "The decisions are kept in review.csv beside this page."));
    showDecision();
    return reviewBox;
  }

  function showDecision() {
    if (!capture || !reviewBox) return;
    const verdict = dped.review.verdictOf(capture.capture_id);
    reviewBox.querySelectorAll("[data-verdict]").forEach((node) => node.setAttribute("aria-pressed", node.dataset.verdict === verdict));
  }

  function facts() {
    const c = capture;
    const vector = (v) => (v ? `(${number(v[0])}, ${number(v[1])}) px` : "–");
    const link = (file) => {
      const address = dped.photoAddress(file);
      return file ? (address ? el("a", { href: address, target: "_blank", rel: "noopener" }, dped.name(file)) : el("span", {}, dped.name(file))) : "–";
    };
    const rows = [
      ["reason", c.reason ? `${c.reason}${c.measured !== null ? `: ${number(c.measured, 1)} against ${number(c.limit, 1)}` : ""}` : null],
      ["patches kept", c.windows ? `${count(c.patches)} of ${count(c.windows)} windows` : count(c.patches)],
      ["shift, re-measured", c.shift_length_px === null ? "no texture to measure" : `median ${number(c.shift_length_px)}, p90 ${number(c.shift_p90_px)} px`],
      ["shift of the whole", vector(c.shift_px)],
      ["predicted error", c.error_p50_px === null ? null : `median ${number(c.error_p50_px)} px`],
      ["correlation", c.ncc_p50 === null ? null : `median ${number(c.ncc_p50, 3)}`],
      ["patches that match", c.match_share === null ? null : share(c.match_share)],
      ["with two contents", c.foreign_share === null || c.foreign_share === undefined ? null : share(c.foreign_share)],
      ["DSLR's detail", c.sharpness === null || c.sharpness === undefined ? null : `${number(c.sharpness)} times the phone's`],
      ["brightness", c.brightness ? `phone ${number(c.brightness[0], 0)}, DSLR ${number(c.brightness[1], 0)}` : null],
      ["burnt out or black", c.clipped ? `phone ${share(c.clipped[0])}, DSLR ${share(c.clipped[1])}` : null],
      ["taken", c.time_s === null ? null : new Date(c.time_s * 1000).toISOString().slice(0, 19).replace("T", " ")],
      ["phone photo", link(c.phone_file)], ["DSLR photo", link(c.dslr_file)],
    ];
    return el("div", { class: "card" }, el("h3", {}, "Figures"), el("dl", { class: "facts" }, rows.filter(([, value]) => value !== null).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  }

  // Patches without a place in a photo make no map.
  const hasMaps = () => Boolean(data?.patches.ncc.length) && data.patches.xy[0] >= 0;

  function maps() {
    return el("div", { class: "charts maps" },
      el("div", { class: "card" }, el("h3", {}, "Windows"), el("div", { id: "map-windows" }), dped.charts.reasonLegend(data)),
      el("div", { class: "card wide" }, el("h3", {}, "Shift before and after the refinement"), el("div", { id: "map-shifts" })));
  }

  function kept() {
    const p = data.patches;
    const places = [];
    for (let k = 0; k < p.ncc.length; k += 1) {
      places.push({ k, left: p.xy[2 * k], top: p.xy[2 * k + 1], x: p.xy[2 * k] + data.patch / 2, y: p.xy[2 * k + 1] + data.patch / 2 });
    }
    return places;
  }

  function drawMaps() {
    const places = kept();
    const p = data.patches;
    const figures = new Map(places.map((d) => [`${d.left},${d.top}`, `\ncorrelation ${number(p.ncc[d.k], 3)}, predicted ${number(p.error[d.k])} px`]));
    const picture = data.phone_overview ? `${folderOf(capture.index)}/phone.jpg` : null;
    byId("map-windows").replaceChildren(dped.charts.windowMap(Math.max(240, byId("map-windows").clientWidth), data, picture, figures));
    const s = data.sample;
    const text = (d) => ({ ...d, text: `(${number(d.dx)}, ${number(d.dy)}) px at x ${d.x}, y ${d.y}` });
    const before = places.map((d) => ({ ...d, dx: p.before[2 * d.k], dy: p.before[2 * d.k + 1] })).filter((d) => d.dx !== null && d.dy !== null).map(text);
    const after = s.patch.map((k, n) => ({ ...places[k], dx: s.shift[2 * n], dy: s.shift[2 * n + 1], measured: s.measured[n] })).filter((d) => d.measured).map(text);
    const caption = (items, what) => `${what}: ${number(Math.sqrt(d3.mean(items, (d) => d.dx ** 2 + d.dy ** 2) ?? 0))} px RMS, ${items.length} patches`;
    if (!before.length && !after.length) byId("map-shifts").replaceChildren(dped.charts.empty("no patch has the texture to tell"));
    else dped.charts.quivers(byId("map-shifts"), data.size, before, after, { before: caption(before, "before: what the single homography left"), after: caption(after, "after: what the stored patches have left") });
  }

  function patches() {
    const s = data.patch;
    const folder = folderOf(capture.index);
    const sample = new Map(data.sample.patch.map((k, n) => [k, n]));
    const cards = data.sheet.map((k, place) => {
      const n = sample.get(k);
      const half = (row) => el("span", { class: "half", style: `background-image:url("${folder}/patches.jpg");background-size:${100 * data.sheet.length}% 200%;background-position:${data.sheet.length > 1 ? (100 * place) / (data.sheet.length - 1) : 0}% ${100 * row}%` });
      const shift = data.sample.measured[n] ? `shift ${number(Math.hypot(data.sample.shift[2 * n], data.sample.shift[2 * n + 1]))} ± ${number(data.sample.deviation[n])} px` : "shift not measurable";
      const foreign = data.sample.foreign?.[n];
      return el("button", { type: "button", class: "patch", "data-source": place, onclick: () => { selectSource(place); compare.stage.scrollIntoView({ block: "center" }); }, title: `x ${data.patches.xy[2 * k]}, y ${data.patches.xy[2 * k + 1]}` },
        el("span", { class: "halves" }, half(0), half(1)),
        el("span", { class: "numbers" }, shift), foreign ? el("span", { class: "numbers" }, dped.chip("two contents")) : null, el("span", { class: "numbers quiet" }, `ncc ${number(data.patches.ncc[k], 3)} · predicted ${number(data.patches.error[k])}`));
    });
    return el("div", { class: "card" }, el("h3", {}, `Patches, worst first (${data.sheet.length} of ${count(capture.patches)}, ${s} px)`), el("div", { class: "patches" }, cards));
  }

  function start() {
    dped.review.onChange(showDecision);
    let timer;
    addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => { if (capture && hasMaps()) drawMaps(); }, 150); });
  }

  return { start, open, hide, close, step, decide, compare: () => compare, current: () => capture };
})();
