// Charts, drawn by Observable Plot.
"use strict";

dped.charts = (() => {
  const { state, number, count, sum } = dped;
  // Okabe and Ito's colours: told apart by people with any of the common colour deficiencies.
  const REASONS = {
    kept: "#0072B2", texture: "#8a8f98", error: "#E69F00", quadrant: "#CC79A7", ncc: "#D55E00", outside: "#5b3f8c",
    foreign: "#009E73", clipped: "#F0E442", blurred: "#56B4E9", light: "#96ceb4", lost: "#8c564b",
  };
  const REASON_NAMES = Object.keys(REASONS);
  const MEANING = {
    kept: "kept", texture: "too little texture to align", error: "predicted error too large", quadrant: "a part moves on its own (depth edge)",
    ncc: "correlation too low", outside: "outside the DSLR photo",
    foreign: "a part shows content the other photo lacks", clipped: "clipped in the DSLR photo alone",
    blurred: "the DSLR photo is not sharp", light: "the light differs over it", lost: "texture, but not found in the DSLR photo",
  };
  const style = "background: none; font-size: 12px; --plot-background: var(--card);";

  function plot(width, options) {
    return Plot.plot({ width, height: 190, marginLeft: 46, marginRight: 24, marginTop: 26, marginBottom: 40, style, ...options, x: { ticks: Math.max(3, Math.round(width / 90)), ...options.x } });
  }

  function histogram(width, name, unit, lines = []) {
    const h = state.report.summary.histograms[name];
    if (!h) return empty("not in this dataset");
    const step = (h.high - h.low) / h.counts.length;
    const bins = h.counts.map((n, k) => ({ from: h.low + k * step, to: h.low + (k + 1) * step, n }));
    const marks = lines.filter((line) => line.at !== null && line.at !== undefined && line.at <= h.high);
    return plot(width, {
      x: { label: unit, domain: [h.low, h.high] },
      y: { label: "patches", grid: true, ticks: 4, tickFormat: "~s" },
      marks: [
        Plot.rectY(bins, {
          x1: "from", x2: "to", y: "n", fill: "var(--accent)", insetLeft: 0.5, insetRight: 0.5,
          title: (b) => `${number(b.from, 3)} to ${number(b.to, 3)}: ${count(b.n)}`, tip: true,
        }),
        Plot.ruleX(marks, { x: "at", stroke: "var(--fail)", strokeWidth: 1.5, strokeDasharray: "4,3" }),
        // One below the other, and to the left of a line near the right end: two lines may lie side by side.
        ...marks.map((line, k) => {
          const left = line.at > h.low + 0.75 * (h.high - h.low);
          return Plot.text([line], { x: "at", frameAnchor: "top", text: "label", dx: left ? -4 : 4, dy: 12 * k, textAnchor: left ? "end" : "start", fill: "currentColor" });
        }),
        Plot.ruleY([0]),
      ],
    });
  }

  function empty(text) {
    return dped.el("p", { class: "quiet empty" }, text);
  }

  // Rows of a name, a bar and a figure, as a list: text wraps and nothing leaves the card at any width.
  function bars(table, meaning = {}) {
    const { el } = dped;
    const rows = Object.entries(table).filter(([, n]) => n > 0);
    if (!rows.length) return empty("none");
    const total = sum(table), most = Math.max(...rows.map(([, n]) => n));
    return el("ul", { class: "bars" }, rows.map(([name, n]) => el("li", {},
      el("span", { class: "bar-name" }, meaning[name] ?? name), el("span", { class: "bar-figure" }, `${count(n)} (${(100 * n / total).toFixed(1)} %)`),
      el("span", { class: "bar-track" }, el("i", { style: `width:${(100 * n) / most}%;background:${REASONS[name] ?? "var(--accent)"}` })))));
  }

  // Arrows over a photo of this size; `scale` photo pixels are drawn for one pixel of shift. A bar tells how long.
  function arrows(width, size, items, scale, bar) {
    const [w, h] = size, drawn = [w * 0.03, w * 0.03 + bar * scale];
    return Plot.plot({
      width, height: Math.round((width * h) / w), margin: 2, style,
      x: { domain: [0, w], axis: null }, y: { domain: [h, 0], axis: null },
      marks: [
        Plot.frame({ stroke: "var(--line)" }),
        Plot.dot(items, { x: "x", y: "y", r: 1.5, fill: "var(--accent)" }),
        Plot.arrow(items, {
          x1: "x", y1: "y", x2: (d) => d.x + d.dx * scale, y2: (d) => d.y + d.dy * scale,
          stroke: "var(--accent)", strokeWidth: 1.5, headLength: 5, clip: true,
        }),
        Plot.ruleY([h * 0.95], { x1: drawn[0], x2: drawn[1], stroke: "currentColor", strokeWidth: 3 }),
        Plot.text([`${bar} px`], { x: drawn[1], y: h * 0.95, dx: 6, textAnchor: "start", fill: "currentColor", stroke: "var(--card)", strokeWidth: 4, text: (d) => d }),
        Plot.tip(items, Plot.pointer({ x: "x", y: "y", title: "text" })),
      ],
    });
  }

  // The shifts before and after the refinement side by side, both at one scale. `before` and `after` are lists of
  // {x, y, dx, dy, text} in photo pixels; `before` may be empty. One button enlarges both alike.
  function quivers(place, size, before, after, texts) {
    const { el } = dped;
    const [w] = size, lengths = (before.length ? before : after).map((d) => Math.hypot(d.dx, d.dy)).sort(d3.ascending);
    const long = Math.max(d3.quantile(lengths, 0.9) ?? 0, 0.02);
    const plain = niceBelow((0.09 * w) / long);
    const panels = [["before", before], ["after", after]].map(([name, items]) => ({
      items, figure: el("figure", { class: `quiver ${name}` }, el("div", { class: "drawn" }), el("figcaption", { class: "small" }, texts[name])),
    })).filter(({ items }) => items.length);
    let factor = 1;
    const button = el("button", { type: "button", "aria-pressed": "false", onclick: () => { factor = factor === 1 ? 10 : 1; draw(); } });
    const draw = () => {
      const scale = plain * factor, bar = niceBelow((0.22 * w) / scale);
      for (const { items, figure } of panels) {
        const drawn = figure.firstChild;
        drawn.replaceChildren(arrows(Math.max(200, drawn.clientWidth), size, items, scale, bar));
      }
      button.textContent = factor === 1 ? "Enlarge the arrows 10×" : "Arrows as before";
      button.setAttribute("aria-pressed", factor !== 1);
    };
    place.replaceChildren(el("div", { class: "quivers" }, panels.map(({ figure }) => figure)), el("div", { class: "group" }, button,
      el("span", { class: "quiet small" }, panels.length > 1 ? "both at one scale" : "")));
    draw();
    return draw;
  }

  // The largest of 1, 2 and 5 times a power of ten that is no more than `value`.
  function niceBelow(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return Number(([5, 2, 1].find((k) => k * power <= value) * power).toPrecision(1));
  }

  // What every photo shares, by place in the photo: before the refinement and after it.
  function field() {
    const size = [4000, 3000]; // any photo, as shares of its size
    const items = (x, y, what) => state.report.summary.field.filter((c) => c[x] !== null && c[x] !== undefined).map((c) => ({
      x: c.x * size[0], y: c.y * size[1], dx: c[x], dy: c[y], text: `${what}: (${number(c[x])}, ${number(c[y])}) px\n${count(c.count)} patches`,
    }));
    return { size, before: items("before_dx_px", "before_dy_px", "before"), after: items("dx_px", "dy_px", "after") };
  }

  function drift(width) {
    const rows = state.captures.filter((c) => c.shift_px !== null);
    if (!rows.length) return empty("no capture has enough texture");
    const timed = rows.every((c) => c.time_s !== null);
    const limit = state.report.checks.find((check) => check.name === "shifted captures")?.fail;
    return plot(width, {
      x: timed ? { type: "utc", label: "time of capture" } : { label: "capture, in the dataset's order" },
      y: { label: "px", grid: true, zero: true, ticks: 4 },
      marks: [
        Plot.ruleY([0]),
        Plot.ruleY([limit], { stroke: "var(--fail)", strokeDasharray: "4,3" }),
        Plot.dot(rows, {
          x: (c) => (timed ? new Date(c.time_s * 1000) : c.index), y: (c) => Math.hypot(...c.shift_px),
          fill: (c) => (c.flags.includes("shifted") ? "var(--fail)" : "var(--accent)"), symbol: (c) => (c.flags.length ? "times" : "circle"),
          stroke: (c) => (c.flags.length ? "var(--fail)" : "none"),
          r: 3, href: (c) => `#c=${c.index}`, title: (c) => `${c.capture_id}\n${number(Math.hypot(...c.shift_px))} px`, tip: true,
        }),
      ],
    });
  }

  function brightness(width) {
    const rows = state.captures.filter((c) => c.brightness !== null);
    if (!rows.length) return empty("no patches");
    const odd = (c) => c.flags.some((flag) => ["clipped", "brightness", "colour"].includes(flag));
    return plot(width, {
      x: { label: "phone, 0 to 255", domain: [0, 255] }, y: { label: "DSLR", domain: [0, 255], grid: true, ticks: 4 },
      marks: [
        Plot.line([[0, 0], [255, 255]], { stroke: "var(--line)" }),
        Plot.dot(rows, {
          x: (c) => c.brightness[0], y: (c) => c.brightness[1], r: 3, href: (c) => `#c=${c.index}`,
          fill: (c) => (odd(c) ? "var(--fail)" : "var(--accent)"), symbol: (c) => (odd(c) ? "times" : "circle"),
          stroke: (c) => (odd(c) ? "var(--fail)" : "none"),
          title: (c) => `${c.capture_id}\nphone ${number(c.brightness[0], 0)}, DSLR ${number(c.brightness[1], 0)}`, tip: true,
        }),
      ],
    });
  }

  // Every window of a capture over its photo, the reason on hover; `figures` maps "x,y" to the kept patch's numbers.
  function windowMap(width, data, picture, figures) {
    const rows = [];
    for (let k = 0; k < data.windows.length; k += 3) {
      const [x, y, code] = data.windows.slice(k, k + 3);
      const reason = REASON_NAMES[code] ?? "kept";
      rows.push({ x, y, reason, text: `x ${x}, y ${y}: ${MEANING[reason]}${figures.get(`${x},${y}`) ?? ""}` });
    }
    const [w, h] = data.size;
    return Plot.plot({
      width, height: Math.round((width * h) / w), margin: 2, style,
      x: { domain: [0, w], axis: null }, y: { domain: [h, 0], axis: null },
      marks: [
        picture ? Plot.image([0], { x: w / 2, y: h / 2, width: width - 4, height: Math.round((width * h) / w) - 4, src: () => picture, preserveAspectRatio: "none" }) : null,
        Plot.rect(rows, {
          x1: "x", x2: (d) => d.x + data.patch, y1: "y", y2: (d) => d.y + data.patch, inset: 0.5,
          fill: (d) => REASONS[d.reason], fillOpacity: (d) => (d.reason === "kept" ? 0.12 : 0.5),
          stroke: (d) => REASONS[d.reason], strokeWidth: 1, title: "text", tip: true,
        }),
      ],
    });
  }

  function reasonLegend(data) {
    const present = new Set();
    for (let k = 2; k < data.windows.length; k += 3) present.add(REASON_NAMES[data.windows[k]]);
    return dped.el("p", { class: "legend" }, REASON_NAMES.filter((name) => present.has(name)).map((name) =>
      dped.el("span", {}, dped.el("i", { style: `background:${REASONS[name]}` }), MEANING[name])));
  }

  return { histogram, bars, field, quivers, drift, brightness, windowMap, reasonLegend, empty, MEANING };
})();
