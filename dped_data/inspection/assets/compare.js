// The comparator: phone and DSLR on top of each other, compared in seven ways. Everything is CSS on two layers, since
// a page opened from disk may not read pixels.
"use strict";

dped.Compare = class {
  static MODES = [
    ["phone", "Phone"], ["dslr", "DSLR"], ["blink", "Blink"], ["swipe", "Swipe"], ["checker", "Checker"], ["overlay", "Overlay"], ["difference", "Difference"],
  ];
  static ZOOMS = [["fit", "Fit"], ["1", "1:1"], ["2", "2×"], ["4", "4×"]];
  static LUMA = [0.299, 0.587, 0.114];

  constructor() {
    const { el } = dped;
    this.layers = { phone: el("div", { class: "layer phone" }), dslr: el("div", { class: "layer dslr" }) };
    this.handle = el("div", { class: "handle" });
    this.label = el("span", { class: "shown" });
    this.paper = el("div", { class: "paper" }, this.layers.phone, this.layers.dslr, this.handle);
    this.stage = el("div", { class: "stage", tabindex: 0, role: "img", "aria-label": "phone and DSLR compared" }, this.paper);
    this.position = el("input", { type: "range", min: 0, max: 100, value: 50, step: 0.5, "aria-label": "swipe position", class: "swipe", oninput: () => this.swipe(this.position.value) });
    this.buttons = dped.Compare.MODES.map(([mode, text], k) => el("button", { type: "button", "data-mode": mode, title: `${text} (${k + 1})`, onclick: () => this.setMode(mode) }, text));
    this.zooms = dped.Compare.ZOOMS.map(([zoom, text]) => el("button", { type: "button", "data-zoom": zoom, onclick: () => this.setZoom(zoom) }, text));
    this.match = el("input", { type: "checkbox", onchange: () => this.show() });
    this.legend = el("p", { class: "quiet small" });
    this.root = el("div", { class: "compare" },
      el("div", { class: "tools" }, el("div", { class: "group modes" }, this.buttons), el("div", { class: "group" }, this.zooms),
        el("label", { title: "m" }, this.match, " match colours"), this.label),
      this.stage, this.position, this.legend);
    this.mode = "blink";
    this.zoom = "fit";
    this.front = "phone";
    this.paper.addEventListener("pointerdown", (event) => this.drag(event));
    this.paper.addEventListener("pointermove", (event) => { if (event.buttons) this.drag(event); });
    new ResizeObserver(() => this.layout()).observe(this.stage);
  }

  // source: {phone, dslr: {url, x, y, sheet: [w, h]}, size: [w, h], colour: 12 numbers or null, zoom}
  setSource(source) {
    this.source = source;
    for (const name of ["phone", "dslr"]) {
      const part = source[name];
      this.layers[name].style.backgroundImage = part ? `url("${part.url}")` : "none";
    }
    this.colours(source.colour);
    if (source.zoom) this.zoom = source.zoom;
    this.layout();
    this.show();
  }

  // The colour transform and the tints of the overlay: phone in blue, DSLR in orange, which add up to grey.
  colours(colour) {
    const matrix = colour ?? [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
    const rows = [0, 1, 2].map((r) => matrix.slice(4 * r, 4 * r + 4));
    const text = (values) => `${values.map((row) => `${row[0]} ${row[1]} ${row[2]} 0 ${row[3]}`).join(" ")} 0 0 0 1 0`;
    const grey = (from) => [0, 1, 2, 3].map((k) => dped.Compare.LUMA.reduce((total, weight, r) => total + weight * from[r][k], 0));
    const tint = (from, rgb) => text(rgb.map((part) => grey(from).map((v) => v * part)));
    const same = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]];
    dped.byId("match-matrix").setAttribute("values", text(rows));
    dped.byId("tint-phone-matrix").setAttribute("values", tint(same, [0, 0.5, 1]));
    dped.byId("tint-dslr-matrix").setAttribute("values", tint(rows, [1, 0.5, 0]));
  }

  setMode(mode) {
    this.mode = mode;
    this.show();
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.layout();
    this.show();
  }

  flip() {
    this.front = this.front === "phone" ? "dslr" : "phone";
    if (this.mode === "blink" || this.mode === "phone" || this.mode === "dslr") {
      this.mode = this.front;
    }
    this.show();
  }

  drag(event) {
    if (this.mode !== "swipe") return;
    const box = this.paper.getBoundingClientRect();
    const percent = (100 * (event.clientX - box.left)) / box.width;
    this.position.value = percent;
    this.swipe(this.position.value);
    event.preventDefault();
  }

  swipe(percent) {
    this.paper.style.setProperty("--swipe", `${percent}%`);
  }

  layout() {
    if (!this.source) return;
    const [w, h] = this.source.size;
    const room = this.stage.clientWidth;
    const tall = Math.max(240, window.innerHeight * 0.72);
    const zoom = this.zoom === "fit" ? Math.min(room / w, tall / h, this.source.most ?? 8) : Number(this.zoom);
    this.paper.style.width = `${w * zoom}px`;
    this.paper.style.height = `${h * zoom}px`;
    for (const name of ["phone", "dslr"]) {
      const part = this.source[name];
      if (!part) continue;
      const [sw, sh] = part.sheet ?? this.source.size;
      const style = this.layers[name].style;
      style.backgroundSize = `${sw * zoom}px ${sh * zoom}px`;
      style.backgroundPosition = `${-(part.x ?? 0) * zoom}px ${-(part.y ?? 0) * zoom}px`;
      style.imageRendering = zoom >= 2 ? "pixelated" : "auto";
    }
  }

  show() {
    const alone = !this.source?.phone || !this.source?.dslr;
    const mode = alone ? (this.source?.phone ? "phone" : "dslr") : this.mode;
    clearInterval(this.timer);
    if (mode === "phone" || mode === "dslr") this.front = mode;
    this.paper.dataset.mode = mode;
    this.paper.dataset.front = this.front;
    this.paper.classList.toggle("matched", this.match.checked);
    this.position.hidden = mode !== "swipe";
    this.position.style.visibility = mode === "swipe" ? "visible" : "hidden";
    this.swipe(this.position.value);
    for (const button of this.buttons) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    for (const button of this.zooms) button.setAttribute("aria-pressed", button.dataset.zoom === this.zoom);
    if (mode === "blink") {
      this.timer = setInterval(() => { this.front = this.front === "phone" ? "dslr" : "phone"; this.tick(); }, 450);
    }
    this.tick();
    this.legend.textContent = {
      overlay: "Phone in blue, DSLR in orange: aligned is grey, a shift shows blue and orange edges.",
      difference: "Difference after colour matching, four times as bright: aligned is black.",
      swipe: "Drag: phone left, DSLR right.",
      checker: "Squares from phone and DSLR in turn: edges must run on.",
    }[mode] ?? "Edges must stay where they are when the picture flips.";
  }

  tick() {
    this.paper.dataset.front = this.front;
    const both = ["swipe", "checker", "overlay", "difference"].includes(this.paper.dataset.mode);
    this.label.textContent = both ? "" : this.front === "phone" ? "phone" : "DSLR";
  }

  stop() {
    clearInterval(this.timer);
  }
};
