"""How the HTML report looks."""

from __future__ import annotations

STYLE = """
:root {
  --back: #fbfaf8; --card: #ffffff; --ink: #1d1f23; --muted: #5d6470; --line: #dcdad4;
  --s0: #1f5fbf; --s1: #b3541e; --s2: #2f7d4f; --s3: #7d3c98;
  --gone: #fbe3e0; --new: #dcf1e1; --up: 47, 125, 79; --down: 179, 84, 30;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #16181c; --card: #1e2126; --ink: #e6e4df; --muted: #9aa2ae; --line: #363b43;
    --s0: #7fb0ff; --s1: #f0a36b; --s2: #7fd0a0; --s3: #cf9be6;
    --gone: #4a2b29; --new: #22402d; --up: 127, 208, 160; --down: 240, 163, 107;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
}
header, main { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 1.3rem; margin: 36px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 10px; white-space: pre-wrap; }
h4 { font-size: .9rem; margin: 0 0 4px; }
h1, h3, h4, p, dd, td, .answer { overflow-wrap: anywhere; }
td:first-child { min-width: 9.5em; }
small, .hint { color: var(--muted); font-weight: normal; font-size: .85rem; }
.verdict { font-size: 1.12rem; max-width: 46em; margin: 0 0 16px; }
dl { display: flex; flex-wrap: wrap; gap: 8px 26px; margin: 0 0 14px; }
dt { color: var(--muted); font-size: .8rem; }
dd { margin: 0; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: .92rem; }
a { color: var(--s0); }
.missing { color: var(--muted); }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
code, .pane, figure { background: var(--card); border: 1px solid var(--line); }
code { border-radius: 4px; padding: 1px 5px; }
pre.code {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px;
  overflow-x: auto; font-size: .82rem; line-height: 1.45;
}
.wide { overflow-x: auto; margin: 10px 0 16px; }
table { border-collapse: collapse; font-size: .92rem; }
caption { text-align: left; color: var(--muted); padding-bottom: 4px; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; white-space: nowrap; }
td { vertical-align: top; min-width: 4.5em; }
.numbers td:not(:first-child), .numbers th:not(:first-child) {
  text-align: right; font-variant-numeric: tabular-nums; padding: 5px 0 5px 22px;
}
.numbers td:not(:first-child) { white-space: nowrap; }
.charts, .panes { display: grid; gap: 14px; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
figure {
  margin: 0; padding: 10px 12px 4px; border-radius: 8px; max-width: 560px;
}
figcaption { font-weight: 600; font-size: .92rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--muted); }
svg .stage { font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--muted); stroke-width: 1; }
svg .border { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 2 3; }
svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .held { stroke-dasharray: 6 4; }
svg .s0 { stroke: var(--s0); } svg .s1 { stroke: var(--s1); }
svg .s2 { stroke: var(--s2); } svg .s3 { stroke: var(--s3); }
svg .mark { fill: var(--card); stroke-width: 2; }
article { margin: 18px 0 26px; }
.panes { grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
.pane { border-radius: 8px; padding: 10px 14px; }
.answer { white-space: pre-wrap; margin: 0; }
del { background: var(--gone); text-decoration: line-through; }
ins { background: var(--new); text-decoration: underline; }
details { margin-top: 8px; }
summary { color: var(--muted); font-size: .85rem; cursor: pointer; }
.hint { margin: 4px 0; }
.up { text-decoration: underline; } .down { text-decoration: underline dotted; }
.up.d1 { background: rgba(var(--up), .16); } .up.d2 { background: rgba(var(--up), .34); }
.up.d3 { background: rgba(var(--up), .56); } .down.d1 { background: rgba(var(--down), .16); }
.down.d2 { background: rgba(var(--down), .34); } .down.d3 { background: rgba(var(--down), .56); }
@media (max-width: 600px) {
  table { font-size: .85rem; }
  .numbers td:not(:first-child), .numbers th:not(:first-child) {
    white-space: normal; padding-left: 10px; overflow-wrap: normal;
  }
  td:first-child { min-width: 7em; }
}
@media print { nav { display: none; } details { display: none; } }
"""
