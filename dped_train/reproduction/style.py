"""The looks of the report, on a screen and on paper."""

CSS = """
:root { --ink: #1c1d1f; --quiet: #5d6167; --line: #d8dade; --mark: #eef3f9; --accent: #2166ac; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: #fff;
       max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 19px; margin: 38px 0 8px; padding-top: 10px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 4px; }
p { margin: 6px 0 10px; max-width: 78ch; }
.quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 8px 0 12px; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; }
td.n, th.n { text-align: right; }
td.n { white-space: nowrap; }
th.n { max-width: 9em; vertical-align: bottom; }
td:first-child { min-width: 11em; }
tr.ours { background: var(--mark); }
td.best { font-weight: 700; }
small { color: var(--quiet); }
pre { background: #f6f7f8; padding: 10px 12px; overflow-x: auto; font-size: 12.5px; line-height: 1.45;
      white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 10px 0 16px; }
figure img, figure svg { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--quiet); font-size: 13px; margin-top: 4px; }
.grid { display: grid; grid-template-columns: repeat(3, 1fr); gap: 10px; margin: 8px 0 20px; }
.grid.two { grid-template-columns: repeat(2, 1fr); }
.grid figure { margin: 0; }
.grid img { width: 100%; }
ul { padding-left: 20px; }
@media (max-width: 620px) { .grid, .grid.two { grid-template-columns: 1fr; } }
@media print {
  @page { size: A4; margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2 { break-after: avoid; }
  h3, .grid p { break-after: avoid; }
  figure, tr, pre { break-inside: avoid; }
  .wide { overflow: visible; }
  table { font-size: 9.5pt; }
  th, td { padding-right: 9px; }
  pre { white-space: pre-wrap; }
}
"""
