// State of the page, loading of data files, and small helpers. Data arrives through <script> tags, since a page opened
// from disk may not fetch.
"use strict";

window.dped = (() => {
  const state = {
    report: null,
    captures: [], // as ranked, worst first
    byIndex: new Map(),
    shown: [], // after filters, in the table's order
    marked: new Set(), // indexes of the captures that the next decision in the list is for
    details: new Map(),
    waiting: new Map(),
  };

  function receiveReport(report) {
    state.report = report;
    state.captures = report.captures;
    report.captures.forEach((capture, rank) => {
      capture.rank = rank + 1;
      state.byIndex.set(capture.index, capture);
    });
    state.shown = state.captures;
  }

  function receiveCapture(index, data) {
    const resolve = state.waiting.get(index);
    state.waiting.delete(index);
    if (resolve) resolve(data);
  }

  function folderOf(index) {
    return `pairs/${String(index).padStart(5, "0")}`;
  }

  // Resolves to the capture's data, or to null when its files are not there.
  function loadCapture(index) {
    if (!state.details.has(index)) {
      state.details.set(index, new Promise((resolve) => {
        state.waiting.set(index, resolve);
        const script = document.createElement("script");
        script.src = `${folderOf(index)}/data.js`;
        script.onload = () => script.remove();
        script.onerror = () => { script.remove(); state.details.delete(index); resolve(null); };
        document.head.append(script);
      }));
    }
    return state.details.get(index);
  }

  // el("p", {class: "quiet", onclick: f}, "text", node): text is never parsed as HTML.
  function el(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }

  const byId = (id) => document.getElementById(id);
  const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const share = (value) => (value === null || value === undefined ? "–" : `${Math.round(value * 100)}\u00a0%`);
  const count = (value) => value.toLocaleString("en");
  const sum = (table) => Object.values(table).reduce((a, b) => a + b, 0);
  const SYMBOLS = { pass: "✓", warn: "!", fail: "✕", unknown: "?" };

  function badge(status, text = status) {
    return el("span", { class: `badge ${status}` }, `${SYMBOLS[status] ?? ""} ${text}`.trim());
  }

  function chip(text) {
    const harm = ["shifted", "no match", "two contents", "blurred", "clipped", "leak"].includes(text);
    return el("span", { class: harm ? "chip harm" : "chip" }, text);
  }

  // Whether the report is of patches by themselves: each is listed, only the worst are, and none has windows.
  const isLoose = () => state.report.kind === "patches";

  // A name that may break after its separators only, so that no line ends inside a number or a word.
  function name(text) {
    return text.split(/(?<=[/_\-.])/).flatMap((part) => [part, el("wbr")]).slice(0, -1);
  }

  // A photo's address: through the server while reviewing, relative to the report otherwise.
  function photoAddress(file) {
    const base = state.served ? "photos" : state.report.photos;
    if (!base || !file) return null;
    return `${base}/${file.split("/").map(encodeURIComponent).join("/")}`;
  }

  return { state, receiveReport, receiveCapture, folderOf, loadCapture, el, byId, number, share, count, sum, badge, chip, name, isLoose, photoAddress };
})();
