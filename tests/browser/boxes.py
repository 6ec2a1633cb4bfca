"""What a page looks like, measured: which texts lie on each other, leave their card or the window, or are too small."""

from __future__ import annotations

from selenium.webdriver.chrome.webdriver import WebDriver

LEAST_FONT_PX = 12
_MEASURE = """
const least = arguments[0], found = [], boxes = [];
const say = (what, text, box) => found.push(`${what}: ${text} at ${Math.round(box.left)}, ${Math.round(box.top)}`);
// What is seen of a box: a parent that hides what is too much cuts it off.
const seenOf = (node, box) => {
  const seen = { left: box.left, top: box.top, right: box.right, bottom: box.bottom };
  for (let e = node; e && e !== document.body; e = e.parentElement) {
    if (getComputedStyle(e).overflowX !== "hidden" || e.tagName === "svg") continue;
    const b = e.getBoundingClientRect();
    for (const side of ["left", "top"]) seen[side] = Math.max(seen[side], b[side]);
    for (const side of ["right", "bottom"]) seen[side] = Math.min(seen[side], b[side]);
  }
  return seen;
};
const isSeen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true });
const isBeside = (box) => box.left < -1 || box.right > innerWidth + 1;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, parent = node.parentElement, text = JSON.stringify(node.data.trim());
  // Not what lies over the page by intention: the bars that stay in view, and what is told under the pointer.
  const isOver = parent.closest("header.bar, .marking, [aria-label=tip]");
  if (text === '""' || isOver || parent.closest("script, style, noscript, option") || !isSeen(parent)) continue;
  const size = parseFloat(getComputedStyle(parent).fontSize), range = document.createRange();
  range.selectNodeContents(node);
  const card = parent.closest(".card, .tile, table, dialog, .sheet, .wide")?.getBoundingClientRect();
  for (const box of range.getClientRects()) {
    if (box.width < 1 || box.height < 1) continue;
    const seen = seenOf(parent, box);
    if (seen.right <= seen.left || seen.bottom <= seen.top) continue;
    if (size < least) say(`${size} px small`, text, box);
    if (isBeside(seen)) say("beside the window", text, box);
    if (card && (seen.left < card.left - 1 || seen.right > card.right + 1)) say("beside its card", text, box);
    if (card && (seen.top < card.top - 1 || seen.bottom > card.bottom + 1)) say("above or below its card", text, box);
    boxes.push({ ...seen, text, node });
  }
}
for (const thing of document.querySelectorAll("button, input, select, img, svg, .overlay, .stage, .tile, .card")) {
  const box = seenOf(thing.parentElement, thing.getBoundingClientRect());
  const isThere = isSeen(thing) && box.right > box.left;
  if (isThere && isBeside(box)) say("beside the window", thing.outerHTML.slice(0, 60), box);
}
boxes.sort((a, b) => a.top - b.top);
boxes.forEach((a, i) => {
  for (const b of boxes.slice(i + 1)) {
    if (b.top >= a.bottom - 2) break;
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    if (a.node !== b.node && across > 1 && Math.min(a.bottom, b.bottom) - b.top > 2) say(`on ${b.text}`, a.text, a);
  }
});
const width = document.documentElement.scrollWidth;
if (width > innerWidth) found.push(`the page is ${width} px wide in ${innerWidth}`);
return [found, boxes.length];"""


def resize(driver: WebDriver, width: int, height: int, *, dark: bool) -> None:
    """Give the window a size and a colour scheme, as a device with it would."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def layout_faults(driver: WebDriver) -> list[str]:
    """Everything on the page that overlaps, is cut off, leaves its card or is under 12 px; [] where all is well."""
    faults, texts = driver.execute_script(_MEASURE, LEAST_FONT_PX)
    assert texts > 20, "the page shows hardly any text"
    return list(faults)
