// One view of one photo, or of several side by side: wheel to the pointer, drag, pinch, double click (all by d3-zoom) and
// calls. Shared by the report's comparator and the study.
"use strict";

window.Viewer = class {
  static STEP = 1.5; // of a button or key

  // panes: elements of one size. draw(i, {scale, left, top}) puts the photo of pane i in place: screen pixels per photo
  // pixel, and where in the pane its top-left corner lies. `scrolls`: while the whole photo is shown, one finger scrolls
  // the page instead.
  constructor(panes, draw, { scrolls = false } = {}) {
    Object.assign(this, { panes, draw, scrolls });
    this.photos = []; // [width, height] of the photo in each pane, upright pixels
    // What is seen: `zoom` 1 fits the whole photo into its pane; (x, y) is the point of the photo at the pane's centre,
    // in fractions of its width and height. All panes share it, so that they show the same part of the scene although
    // the photos may differ in size.
    this.view = { zoom: 1, x: 0.5, y: 0.5 };
    this.zooms = panes.map((pane, i) => d3.zoom().touchable(true)
      .filter((event) => this.photos.length > 0 && !event.button && (!event.ctrlKey || event.type === "wheel") && !this.isPageScroll(event))
      .extent(() => [[0, 0], [pane.clientWidth, pane.clientHeight]])
      .constrain((transform) => (this.photos.length ? this.transform(i, this.held(i, this.seen(i, transform))) : transform))
      .on("zoom", (event) => { if (event.sourceEvent) this.follow(i, event.transform); })
      .on("start end", (event) => pane.classList.toggle("dragged", event.type === "start")));
    panes.forEach((pane, i) => d3.select(pane).call(this.zooms[i])
      .on("dblclick.zoom", (event) => this.toggle(i, d3.pointer(event.changedTouches?.[0] ?? event, pane))));
    new ResizeObserver(() => this.set(this.view)).observe(panes[0]);
  }

  isPageScroll(event) {
    return this.scrolls && event.type === "touchstart" && event.touches.length === 1 && this.view.zoom <= 1;
  }

  fitted(i) {
    const [width, height] = this.photos[i];
    return Math.min(this.panes[i].clientWidth / width, this.panes[i].clientHeight / height);
  }

  // Screen pixels (of CSS) per photo pixel in pane i.
  scale(i = 0) {
    return this.fitted(i) * this.view.zoom;
  }

  // Zoom at which a screen pixel is a pixel of the photo that has most of them.
  pixelZoom() {
    return Math.max(...this.photos.map((_, i) => 1 / this.fitted(i))) / window.devicePixelRatio;
  }

  // A photo smaller than its pane can be shown pixel by pixel as well as fitted.
  leastZoom() {
    return Math.min(1, this.pixelZoom());
  }

  mostZoom() {
    return Math.max(8, 8 * this.pixelZoom());
  }

  // The transform of d3 in pane i that shows a view, and back. Untransformed, the whole photo stands in the middle.
  transform(i, { zoom, x, y }) {
    const along = (size, side, part) => size / 2 - zoom * (part * side + (size - side) / 2);
    const unit = this.fitted(i), pane = this.panes[i], [width, height] = this.photos[i];
    return d3.zoomIdentity.translate(along(pane.clientWidth, width * unit, x), along(pane.clientHeight, height * unit, y)).scale(zoom);
  }

  seen(i, { k, x, y }) {
    const along = (size, side, shift) => ((size / 2 - shift) / k - (size - side) / 2) / side;
    const unit = this.fitted(i), pane = this.panes[i], [width, height] = this.photos[i];
    return { zoom: k, x: along(pane.clientWidth, width * unit, x), y: along(pane.clientHeight, height * unit, y) };
  }

  // The nearest view that leaves no room beside the photo that the photo could fill.
  held(i, { zoom, x, y }) {
    const unit = this.fitted(i) * zoom, pane = this.panes[i], [width, height] = this.photos[i];
    const kept = (value, half) => (half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, value)));
    return { zoom, x: kept(x, pane.clientWidth / (2 * width * unit)), y: kept(y, pane.clientHeight / (2 * height * unit)) };
  }

  follow(i, transform) {
    this.view = this.seen(i, transform);
    this.panes.forEach((pane, j) => { if (j !== i) d3.select(pane).call(this.zooms[j].transform, this.transform(j, this.held(j, this.view))); });
    this.paint();
  }

  // Show this view, or the nearest one that there is.
  set(view) {
    if (!this.photos.length || !this.panes[0].clientWidth) return;
    const least = this.leastZoom(), most = this.mostZoom(), zoom = Math.min(most, Math.max(least, view.zoom));
    this.view = this.held(0, { ...view, zoom });
    this.panes.forEach((pane, i) => d3.select(pane).call(this.zooms[i].scaleExtent([least, most]).transform, this.transform(i, this.held(i, this.view))));
    this.paint();
  }

  paint() {
    this.panes.forEach((pane, i) => {
      const { k, x, y } = d3.zoomTransform(pane), unit = this.fitted(i), [width, height] = this.photos[i];
      this.draw(i, { scale: unit * k, left: x + (k * (pane.clientWidth - width * unit)) / 2, top: y + (k * (pane.clientHeight - height * unit)) / 2 });
      if (this.scrolls) pane.style.touchAction = this.view.zoom > 1 ? "none" : "pan-y";
    });
  }

  // Show photos of these sizes (none: []), the whole of them or a view.
  show(photos, view = null) {
    this.photos = photos;
    this.set(view ?? { zoom: 1, x: 0.5, y: 0.5 });
  }

  // Zoom by a factor and keep the point (x, y) of pane i in its place; without a point, the middle.
  zoomBy(factor, i = 0, point = null) {
    if (!this.photos.length) return;
    const { k, x, y } = d3.zoomTransform(this.panes[i]);
    const [px, py] = point ?? [this.panes[i].clientWidth / 2, this.panes[i].clientHeight / 2];
    const by = Math.min(this.mostZoom(), Math.max(this.leastZoom(), k * factor)) / k;
    this.set(this.seen(i, d3.zoomIdentity.translate(px - (px - x) * by, py - (py - y) * by).scale(k * by)));
  }

  panBy(dx, dy) {
    if (!this.photos.length) return;
    const [width, height] = this.photos[0], { zoom, x, y } = this.view;
    this.set({ zoom, x: x - dx / (width * this.scale()), y: y - dy / (height * this.scale()) });
  }

  fit() {
    this.set({ zoom: 1, x: 0.5, y: 0.5 });
  }

  pixels() {
    if (this.photos.length) this.zoomBy(this.pixelZoom() / this.view.zoom);
  }

  // Double click or double tap: to the pixels at that point, and back to the whole photos.
  toggle(i, point) {
    if (this.view.zoom > 1.001) this.fit();
    else this.zoomBy(Math.max(2, this.pixelZoom()) / this.view.zoom, i, point);
  }
};
