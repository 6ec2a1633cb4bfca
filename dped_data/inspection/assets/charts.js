// Charts, drawn by Observable Plot.
"use strict";

dped.charts = (() => {
  const { state, number, count, sum } = dped;
  // Okabe and Ito's colours: told apart by people with any of the common colour deficiencies.
  const REASONS = {
    kept: "#0072B2", texture: "#8a8f98", error: "#E69F00", quadrant: "#CC79A7", ncc: "#D55E00", outside: "#5b3f8c",
    foreign: "#009E73", clipped: "#F0E442",
  };
  const REASON_NAMES = Object.keys(REASONS);
  const MEANING = {
    kept: "kept", texture: "no texture to align", error: "predicted error too large", quadrant: "a part moves on its own (depth edge)",
    ncc: "correlation too low", outside: "outside the DSLR photo",
    foreign: "a part shows content the other photo lacks", clipped: "clipped in the DSLR photo alone",
  };
  const style = "overflow: visible; background: none; --plot-background: var(--card);";

  function plot(width, options) {
    return Plot.plot({ width, height: 170, marginLeft: 44, marginBottom: 34, style, ...options });
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
        Plot.text(marks, { x: "at", frameAnchor: "top", text: "label", dx: 4, textAnchor: "start", fill: "currentColor" }),
        Plot.ruleY([0]),
      ],
    });
  }

  function empty(text) {
    return dped.el("p", { class: "quiet empty" }, text);
  }

  function bars(width, table, meaning = {}) {
    const rows = Object.entries(table).filter(([, n]) => n > 0).map(([name, n]) => ({ name: meaning[name] ?? name, key: name, n }));
    if (!rows.length) return empty("none");
    const total = sum(table);
    const short = (text) => (text.length > 34 ? `${text.slice(0, 33)}…` : text);
    return plot(width, {
      height: 30 + 26 * rows.length, marginLeft: Math.min(220, width * 0.45), marginRight: 60, marginBottom: 6, marginTop: 6,
      x: { axis: null }, y: { label: null, domain: rows.map((r) => r.name), tickSize: 0, tickFormat: short },
      marks: [
        Plot.barX(rows, { x: "n", y: "name", fill: (r) => REASONS[r.key] ?? "var(--accent)", title: (r) => `${r.name}: ${count(r.n)}`, tip: true }),
        Plot.text(rows, { x: "n", y: "name", text: (r) => `${count(r.n)} (${(100 * r.n / total).toFixed(1)} %)`, textAnchor: "start", dx: 4, fill: "currentColor" }),
      ],
    });
  }

  // Arrows over the photo; `scale` photo pixels are drawn for one pixel of shift.
  function arrows(width, size, items, scale, extra = []) {
    const [w, h] = size;
    return Plot.plot({
      width, height: Math.round((width * h) / w), margin: 2, style,
      x: { domain: [0, w], axis: null }, y: { domain: [h, 0], axis: null },
      marks: [
        Plot.frame({ stroke: "var(--line)" }),
        ...extra,
        Plot.dot(items, { x: "x", y: "y", r: 1.5, fill: "var(--accent)" }),
        Plot.arrow(items, {
          x1: "x", y1: "y", x2: (d) => d.x + d.dx * scale, y2: (d) => d.y + d.dy * scale,
          stroke: "var(--accent)", strokeWidth: 1.5, headLength: 5,
        }),
        Plot.tip(items, Plot.pointer({ x: "x", y: "y", title: "text" })),
      ],
    });
  }

  // A factor of 1, 2 or 5 times a power of ten that draws the long arrows at about `target` photo pixels.
  function arrowScale(items, target) {
    const lengths = items.map((d) => Math.hypot(d.dx, d.dy)).sort(d3.ascending);
    const long = Math.max(d3.quantile(lengths, 0.9) ?? 0, 0.02);
    const raw = target / long;
    const power = 10 ** Math.floor(Math.log10(raw));
    return [5, 2, 1].find((k) => k * power <= raw) * power;
  }

  function field(width) {
    const cells = state.report.summary.field;
    if (!cells.length) return { node: empty("needs five captures with texture"), scale: 0 };
    const size = [4000, 3000]; // any photo, as shares of its size
    const items = cells.map((c) => ({
      x: c.x * size[0], y: c.y * size[1], dx: c.dx_px, dy: c.dy_px,
      text: `(${number(c.dx_px)}, ${number(c.dy_px)}) px\n${count(c.count)} patches`,
    }));
    const scale = arrowScale(items, 350);
    return { node: arrows(width, size, items, scale), scale };
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

  return { histogram, bars, field, drift, brightness, arrows, arrowScale, windowMap, reasonLegend, empty, MEANING };
})();
