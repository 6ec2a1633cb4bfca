// The comparator: phone and DSLR on top of each other, compared in seven ways at one zoom and position, which stay from
// one way to the next and from capture to capture. Everything is CSS on two layers, since a page opened from disk may not
// read pixels.
"use strict";

dped.Compare = class {
  static MODES = [
    ["phone", "Phone"], ["dslr", "DSLR"], ["blink", "Blink"], ["swipe", "Swipe"], ["checker", "Checker"], ["overlay", "Overlay"], ["difference", "Difference"],
  ];
  static LEGENDS = {
    overlay: "Phone in blue, DSLR in orange: aligned is grey, a shift shows blue and orange edges.",
    difference: "Difference after colour matching, four times as bright: aligned is black.",
    swipe: "Drag the bar: phone left, DSLR right.",
    checker: "Squares from phone and DSLR in turn: edges must run on.",
  };

  constructor() {
    const { el } = dped;
    const button = (text, title, onclick, more = {}) => el("button", { type: "button", title, onclick, ...more }, text);
    this.layers = { phone: el("div", { class: "layer phone" }), dslr: el("div", { class: "layer dslr" }) };
    this.paper = el("div", { class: "paper" }, this.layers.phone, this.layers.dslr);
    this.mark = el("div", { class: "outlined" });
    this.handle = el("div", { class: "handle", role: "slider", tabindex: 0, "aria-label": "swipe position", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.stage = el("div", { class: "stage", tabindex: 0, role: "img", "aria-label": "phone and DSLR compared" }, this.paper, this.mark, this.handle);
    this.label = el("span", { class: "shown" });
    this.scaleText = el("span", { class: "quiet scale", role: "status" });
    this.buttons = dped.Compare.MODES.map(([mode, text], k) => button(text, `${text} (${k + 1})`, () => this.setMode(mode), { "data-mode": mode }));
    this.match = el("input", { type: "checkbox", onchange: () => this.show() });
    this.outline = el("input", { type: "checkbox", checked: true, onchange: () => this.show() });
    this.legend = el("p", { class: "quiet small" });
    this.viewer = new Viewer([this.stage], (_, place) => this.draw(place), { scrolls: true });
    this.root = el("div", { class: "compare" },
      el("div", { class: "tools" }, el("div", { class: "group modes" }, this.buttons),
        el("div", { class: "group zooms" }, button("−", "zoom out (−)", () => this.viewer.zoomBy(1 / Viewer.STEP), { "aria-label": "zoom out" }),
          button("Fit", "the whole picture (0)", () => this.viewer.fit()), button("1:1", "one screen pixel per pixel of the photo (z)", () => this.viewer.pixels()),
          button("+", "zoom in (+)", () => this.viewer.zoomBy(Viewer.STEP), { "aria-label": "zoom in" }), this.scaleText),
        el("label", { title: "m" }, this.match, " match colours"), el("label", { title: "o" }, this.outline, " outline the worst"), this.label),
      this.stage, this.legend);
    this.mode = "blink";
    this.front = "phone";
    this.part = 0.5; // of the stage's width that the phone takes while swiping
    this.views = new Map(); // by kind of picture: {scale, x, y}
    this.handle.addEventListener("pointerdown", (event) => { this.handle.setPointerCapture(event.pointerId); event.preventDefault(); this.handle.focus(); });
    for (const kind of ["mousedown", "touchstart", "dblclick"]) this.handle.addEventListener(kind, (event) => event.stopPropagation()); // or the picture moves
    this.handle.addEventListener("pointermove", (event) => { if (event.buttons) this.swipe(event.clientX); });
    this.handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      this.setPart(this.part + by);
    });
  }

  // source: {kind, phone, dslr: {url, x, y, sheet: [w, h]}, size: [w, h], colour: 12 numbers or null, mark: [x, y, w, h],
  // look: [x, y] to begin with at 1:1 where the stage has no room for all, or null for the whole picture}. The position stays as it was in the last picture
  // of this kind.
  setSource(source) {
    this.remember();
    this.source = source;
    for (const name of ["phone", "dslr"]) {
      const part = source[name];
      this.layers[name].style.backgroundImage = part ? `url("${part.url}")` : "none";
    }
    dped.pictures.filters("compared", source.colour);
    this.place();
    this.show();
  }

  // Bring the picture in place; to be called again once the stage is on the page.
  place() {
    const [width, height] = this.source.size, kept = this.views.get(this.source.kind), look = this.source.look;
    this.viewer.photos = [this.source.size];
    if (!this.stage.clientWidth) return;
    const unit = this.viewer.fitted(0);
    if (kept) this.viewer.show([this.source.size], { zoom: kept.scale ? kept.scale / unit : 1, x: kept.x, y: kept.y });
    else if (look) this.viewer.show([this.source.size], { zoom: Math.max(1, this.viewer.pixelZoom()), x: look[0] / width, y: look[1] / height });
    else this.viewer.show([this.source.size]);
  }

  remember() {
    if (!this.source || !this.stage.clientWidth) return;
    const { zoom, x, y } = this.viewer.view;
    this.views.set(this.source.kind, { scale: zoom === 1 ? 0 : this.viewer.scale(), x, y });
  }

  setMode(mode) {
    this.mode = mode;
    this.show();
  }

  flip() {
    this.front = this.front === "phone" ? "dslr" : "phone";
    if (this.mode === "blink" || this.mode === "phone" || this.mode === "dslr") this.mode = this.front;
    this.show();
  }

  swipe(clientX) {
    const box = this.stage.getBoundingClientRect();
    this.setPart((clientX - box.left) / box.width);
  }

  setPart(part) {
    this.part = Math.min(1, Math.max(0, part));
    this.viewer.paint();
  }

  // Put the layers where the picture is to be: no larger than the stage, however far it is zoomed.
  draw({ scale, left, top }) {
    const [width, height] = this.source.size, room = [this.stage.clientWidth, this.stage.clientHeight];
    const box = { left: Math.max(0, left), top: Math.max(0, top), right: Math.min(room[0], left + width * scale), bottom: Math.min(room[1], top + height * scale) };
    const px = (value) => `${value}px`;
    Object.assign(this.paper.style, { left: px(box.left), top: px(box.top), width: px(box.right - box.left), height: px(box.bottom - box.top) });
    for (const name of ["phone", "dslr"]) {
      const part = this.source[name];
      if (!part) continue;
      const [sw, sh] = part.sheet ?? this.source.size;
      Object.assign(this.layers[name].style, {
        backgroundSize: `${sw * scale}px ${sh * scale}px`,
        backgroundPosition: `${left - box.left - (part.x ?? 0) * scale}px ${top - box.top - (part.y ?? 0) * scale}px`,
        imageRendering: scale * devicePixelRatio >= 2 ? "pixelated" : "auto",
      });
    }
    this.paper.style.setProperty("--swipe", px(this.part * room[0] - box.left));
    this.handle.style.left = px(this.part * room[0]);
    this.handle.setAttribute("aria-valuenow", Math.round(100 * this.part));
    if (this.source.mark) {
      const [x, y, w, h] = this.source.mark;
      Object.assign(this.mark.style, { left: px(left + x * scale), top: px(top + y * scale), width: px(w * scale), height: px(h * scale) });
    }
    this.scaleText.textContent = `${(100 * scale * devicePixelRatio / (this.source.unit ?? 1)).toPrecision(3) * 1} %`;
  }

  show() {
    const alone = !this.source?.phone || !this.source?.dslr;
    const mode = alone ? (this.source?.phone ? "phone" : "dslr") : this.mode;
    this.stop();
    if (mode === "phone" || mode === "dslr") this.front = mode;
    this.paper.dataset.mode = mode;
    this.paper.classList.toggle("matched", this.match.checked);
    this.handle.hidden = mode !== "swipe";
    this.mark.hidden = !this.source?.mark || !this.outline.checked;
    for (const button of this.buttons) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    if (mode === "blink") this.timer = setInterval(() => { this.front = this.front === "phone" ? "dslr" : "phone"; this.tick(); }, 450);
    this.tick();
    this.legend.textContent = dped.Compare.LEGENDS[mode] ?? "Edges must stay where they are when the picture flips.";
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
