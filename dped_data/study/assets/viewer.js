// Two photos side by side that zoom and pan together, by wheel, pinch, drag, double click and calls.
"use strict";

window.viewer = (() => {
  const panes = [document.getElementById("pane-left"), document.getElementById("pane-right")];
  const STEP = 1.5; // of a button or key
  // What is seen: `zoom` 1 fits the whole photo into its pane; (x, y) is the point of the photo at the pane's centre, in
  // fractions of its width and height. Both panes share it, so that they show the same part of the scene although
  // the photos may differ in size.
  const view = { zoom: 1, x: 0.5, y: 0.5 };
  let photos = []; // [{image, width, height}], upright pixels
  const pointers = new Map();
  let lastTap = { time: 0, x: 0, y: 0 };

  function fitted(photo, pane) {
    return Math.min(pane.clientWidth / photo.width, pane.clientHeight / photo.height);
  }

  // Zoom at which a screen pixel is a pixel of the photo that has more of them.
  function pixelZoom() {
    const largest = Math.max(...photos.map((photo, i) => 1 / fitted(photo, panes[i])));
    return largest / window.devicePixelRatio;
  }

  function mostZoom() {
    return Math.max(8, 4 * pixelZoom());
  }

  // Half of what a pane shows of its photo, in fractions of it.
  function halfSeen(photo, pane) {
    const scale = fitted(photo, pane) * view.zoom;
    return { x: pane.clientWidth / (2 * photo.width * scale), y: pane.clientHeight / (2 * photo.height * scale) };
  }

  function kept(value, half) {
    return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, value));
  }

  function draw() {
    if (!photos.length) return;
    view.zoom = Math.min(mostZoom(), Math.max(1, view.zoom));
    const halves = photos.map((photo, i) => halfSeen(photo, panes[i]));
    view.x = kept(view.x, Math.min(...halves.map((half) => half.x)));
    view.y = kept(view.y, Math.min(...halves.map((half) => half.y)));
    photos.forEach((photo, i) => {
      const pane = panes[i], scale = fitted(photo, pane) * view.zoom;
      const left = pane.clientWidth / 2 - kept(view.x, halves[i].x) * photo.width * scale;
      const top = pane.clientHeight / 2 - kept(view.y, halves[i].y) * photo.height * scale;
      photo.image.style.width = `${photo.width * scale}px`;
      photo.image.style.height = `${photo.height * scale}px`;
      photo.image.style.transform = `translate(${left}px, ${top}px)`;
    });
    document.getElementById("zoom-out").disabled = view.zoom <= 1;
    document.getElementById("zoom-in").disabled = view.zoom >= mostZoom();
  }

  // Zoom by a factor and keep the point under (x, y), in client pixels within pane i, in its place.
  function zoomBy(factor, i, x, y) {
    if (!photos.length) return;
    const pane = panes[i], photo = photos[i];
    const before = view.zoom, after = Math.min(mostZoom(), Math.max(1, before * factor));
    const unit = fitted(photo, pane), dx = x - pane.clientWidth / 2, dy = y - pane.clientHeight / 2;
    view.x += (dx / (photo.width * unit)) * (1 / before - 1 / after);
    view.y += (dy / (photo.height * unit)) * (1 / before - 1 / after);
    view.zoom = after;
    draw();
  }

  function zoomCentre(factor) {
    if (photos.length) zoomBy(factor, 0, panes[0].clientWidth / 2, panes[0].clientHeight / 2);
  }

  function panBy(dx, dy, i) {
    if (!photos.length) return;
    const scale = fitted(photos[i], panes[i]) * view.zoom;
    view.x -= dx / (photos[i].width * scale);
    view.y -= dy / (photos[i].height * scale);
    draw();
  }

  function fit() {
    Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 });
    draw();
  }

  function pixels() {
    if (photos.length) zoomCentre(pixelZoom() / view.zoom);
  }

  function within(pane, event) {
    const box = pane.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  // Double click or double tap: to the pixels at that point, and back to the whole photos.
  function toggle(i, point) {
    if (view.zoom > 1) fit();
    else zoomBy(Math.max(2, pixelZoom()), i, point.x, point.y);
  }

  function tapped(event, i) {
    const now = performance.now(), point = within(panes[i], event);
    const near = Math.hypot(event.clientX - lastTap.x, event.clientY - lastTap.y) < 30;
    const isDouble = now - lastTap.time < 350 && near;
    lastTap = { time: isDouble ? 0 : now, x: event.clientX, y: event.clientY };
    if (isDouble) toggle(i, point);
  }

  function moved(event, i) {
    const known = pointers.get(event.pointerId);
    if (!known) return;
    const here = within(panes[i], event);
    const others = [...pointers].filter(([id, other]) => id !== event.pointerId && other.i === i);
    if (others.length) { // two fingers: spread zooms about their middle, and the middle pans
      const other = others[0][1];
      const before = Math.hypot(known.x - other.x, known.y - other.y), after = Math.hypot(here.x - other.x, here.y - other.y);
      panBy((here.x - known.x) / 2, (here.y - known.y) / 2, i);
      if (before > 0) zoomBy(after / before, i, (here.x + other.x) / 2, (here.y + other.y) / 2);
    } else {
      panBy(here.x - known.x, here.y - known.y, i);
    }
    known.travelled += Math.hypot(here.x - known.x, here.y - known.y);
    Object.assign(known, here);
  }

  function released(event, i) {
    const known = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    panes[i].classList.toggle("dragged", [...pointers.values()].some((other) => other.i === i));
    if (known && known.travelled < 10 && !known.pinched && event.type === "pointerup") tapped(event, i);
  }

  panes.forEach((pane, i) => {
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1; // Firefox counts lines
      const point = within(pane, event);
      zoomBy(Math.exp(-Math.max(-300, Math.min(300, event.deltaY * lines)) * (event.ctrlKey ? 0.01 : 0.002)), i, point.x, point.y);
    }, { passive: false });
    pane.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pane.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { i, travelled: 0, pinched: false, ...within(pane, event) });
      if (pointers.size > 1) pointers.forEach((known) => { known.pinched = true; });
      pane.classList.add("dragged");
    });
    pane.addEventListener("pointermove", (event) => moved(event, i));
    pane.addEventListener("pointerup", (event) => released(event, i));
    pane.addEventListener("pointercancel", (event) => released(event, i));
    pane.addEventListener("dragstart", (event) => event.preventDefault());
    pane.addEventListener("contextmenu", (event) => event.preventDefault());
  });
  new ResizeObserver(draw).observe(document.getElementById("panes"));

  // Show two loaded images, or none; the view starts with the whole photos.
  function show(loaded) {
    panes.forEach((pane, i) => {
      pane.querySelectorAll("img").forEach((image) => image.remove());
      if (loaded.length) pane.prepend(loaded[i].image);
    });
    photos = loaded;
    pointers.clear();
    fit();
  }

  return { show, fit, pixels, zoomIn: () => zoomCentre(STEP), zoomOut: () => zoomCentre(1 / STEP), panBy: (dx, dy) => panBy(dx, dy, 0), view };
})();
