// Phone and DSLR on top of each other as an overlay, phone in blue and DSLR in orange: aligned is grey. All by CSS and SVG
// filters, since a page opened from disk may not read pixels.
"use strict";

dped.pictures = (() => {
  const { el } = dped;
  const LUMA = [0.299, 0.587, 0.114];
  const SAME = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]];
  const TIMES = 1.5; // a shift of some pixels is to be seen at a glance, and what the photo shows as well
  const SVG = "http://www.w3.org/2000/svg";

  const text = (rows) => `${rows.map((row) => `${row[0]} ${row[1]} ${row[2]} 0 ${row[3]}`).join(" ")} 0 0 0 1 0`;
  const tint = (from, rgb) => {
    const grey = [0, 1, 2, 3].map((k) => LUMA.reduce((total, weight, r) => total + weight * from[r][k], 0));
    return text(rgb.map((part) => grey.map((v) => v * part)));
  };

  // The three filters of a capture whose DSLR looks like its phone by `colour` (12 numbers, or null): ids end in `key`.
  function filters(key, colour) {
    const matrix = colour ?? SAME.flat();
    const rows = [0, 1, 2].map((r) => matrix.slice(4 * r, 4 * r + 4));
    const values = { match: text(rows), "tint-phone": tint(SAME, [0, 0.5, 1]), "tint-dslr": tint(rows, [1, 0.5, 0]) };
    for (const [name, value] of Object.entries(values)) {
      let filter = document.getElementById(`${name}-${key}`);
      if (!filter) {
        filter = document.createElementNS(SVG, "filter");
        for (const [attribute, v] of Object.entries({ id: `${name}-${key}`, "color-interpolation-filters": "sRGB", x: 0, y: 0, width: 1, height: 1 })) filter.setAttribute(attribute, v);
        filter.append(document.createElementNS(SVG, "feColorMatrix"));
        document.getElementById("filters").append(filter);
      }
      filter.firstChild.setAttribute("values", value);
    }
  }

  // The worst place of a capture as an overlay with the patch outlined: a link to the capture, for the first screen.
  // Resolves to null where the capture has no such picture.
  async function worst(capture) {
    const data = await dped.loadCapture(capture.index);
    if (!data?.region) return null;
    filters(capture.index, data.phone_from_dslr);
    const [x, y, width, height] = data.region, k = data.sheet[0], size = data.patch;
    const at = { x: data.patches.xy[2 * k] - x, y: data.patches.xy[2 * k + 1] - y };
    const layer = (name) => {
      const image = el("img", { src: `${dped.folderOf(capture.index)}/${name}_region.jpg`, alt: "", width, height, decoding: "async" });
      image.style.filter = `url(#tint-${name}-${capture.index})`;
      return image;
    };
    // Enlarged, and moved so that the patch is in the middle.
    const sheet = el("span", { class: "sheet" }, layer("phone"), layer("dslr"), el("i", { class: "outlined", style: `left:${at.x}px;top:${at.y}px;width:${size}px;height:${size}px` }));
    const frame = el("span", { class: "overlay" }, sheet);
    const place = () => {
      const inside = (room, side, middle) => (room >= side * TIMES ? (room - side * TIMES) / 2 : Math.min(0, Math.max(room - side * TIMES, room / 2 - middle * TIMES)));
      sheet.style.transform = `translate(${inside(frame.clientWidth, width, at.x + size / 2)}px, ${inside(frame.clientHeight, height, at.y + size / 2)}px) scale(${TIMES})`;
    };
    new ResizeObserver(place).observe(frame);
    return el("a", { class: "shot", href: `#c=${capture.index}` }, frame,
      el("span", { class: "caption" }, el("strong", {}, dped.name(capture.capture_id)), " ", capture.flags.map(dped.chip)),
      el("span", { class: "quiet small" }, measured(data)));
  }

  // What was measured at the worst patch.
  function measured(data) {
    const n = data.sample.patch.indexOf(data.sheet[0]);
    const foreign = data.sample.foreign?.[n];
    if (foreign) return `outlined: ${foreign === 1 ? "a part" : `${foreign} parts`} with another content`;
    if (!data.sample.measured[n]) return `outlined: correlation ${dped.number(data.sample.correlation[n])} at best`;
    return `outlined: ${dped.number(Math.hypot(data.sample.shift[2 * n], data.sample.shift[2 * n + 1]))} px off`;
  }

  return { filters, worst, measured };
})();
