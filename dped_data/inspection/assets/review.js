// A person's decisions: sent to the server while reviewing, else kept in the browser until they are exported.
"use strict";

dped.review = (() => {
  const { state, byId } = dped;
  let log = []; // {time, capture_id, verdict, note}, oldest first
  let key = "";
  const listeners = [];

  const latest = () => new Map(log.map((decision) => [decision.capture_id, decision]));
  let current = new Map();

  function verdictOf(id) {
    const verdict = current.get(id)?.verdict;
    return verdict === "clear" ? undefined : verdict;
  }
  const noteOf = (id) => current.get(id)?.note ?? "";

  function changed(message) {
    current = latest();
    const verdicts = [...current.values()].map((decision) => decision.verdict);
    const accepted = verdicts.filter((verdict) => verdict === "accept").length;
    const rejected = verdicts.filter((verdict) => verdict === "reject").length;
    byId("review-state").textContent = message ?? (accepted + rejected ? `${accepted} accepted, ${rejected} rejected` : "");
    byId("export").hidden = log.length === 0;
    listeners.forEach((listener) => listener());
  }

  function keep() {
    try {
      localStorage.setItem(key, JSON.stringify(log));
      return undefined;
    } catch {
      return "the browser keeps nothing here: export before you close";
    }
  }

  // Resolves to whether the decision is kept.
  async function decide(id, verdict, note) {
    const decision = { time: new Date().toISOString().replace(/\.\d+Z$/, "Z"), capture_id: id, verdict, note };
    if (!state.served) {
      log.push(decision);
      changed(keep());
      return true;
    }
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch("review", { method: "POST", headers, body: JSON.stringify(decision) });
      if (!answer.ok) throw new Error(await answer.text());
      log.push(await answer.json());
      changed();
      return true;
    } catch (error) {
      changed(`NOT SAVED: ${error.message}`);
      return false;
    }
  }

  function csv() {
    const plain = (text) => (/^[=+\-@\t\r']/.test(text) ? `'${text}` : text); // no cell is a spreadsheet's formula
    const line = (cells) => `${cells.map((text) => `"${plain(text).replaceAll('"', '""')}"`).join(",")}\n`;
    const rows = log.map((d) => line([d.time, d.capture_id, d.verdict, d.note.replace(/\s+/g, " ").trim()]));
    return [line(["time", "capture_id", "verdict", "note"]), ...rows].join("");
  }

  function save() {
    const link = dped.el("a", { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: "review.csv" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function start() {
    key = `dped review ${state.report.phone} ${state.report.digest}`;
    if (location.protocol.startsWith("http")) {
      try {
        const answer = await fetch("review");
        if (answer.ok) {
          state.served = true;
          log = await answer.json();
        }
      } catch { /* a plain web server without review: decisions stay in the browser */ }
    }
    if (!state.served) {
      try {
        log = JSON.parse(localStorage.getItem(key) ?? "[]");
      } catch {
        log = [];
      }
    }
    byId("export").addEventListener("click", save);
    changed();
  }

  return { start, decide, verdictOf, noteOf, csv, onChange: (listener) => listeners.push(listener) };
})();
