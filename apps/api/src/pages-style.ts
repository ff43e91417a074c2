/** Looks of the pages that the API writes itself. */
export const PAGES_CSS = `
:root { color-scheme: light dark; --ink: #1c2330; --dim: #667085; --line: #dfe3ea; --paper: #f6f7f9; --card: #fff; --accent: #3d5afe; --bad: #c62f3b; --warn: #b26a00; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --line: #2c3442; --paper: #12161d; --card: #1a202a; --accent: #8c9eff; --bad: #ff7b86; --warn: #f5b65b; --good: #5bd69a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
header { display: flex; align-items: center; justify-content: space-between; gap: 24px; padding: 12px 28px; background: var(--card); border-bottom: 1px solid var(--line); }
.brand { display: flex; align-items: center; gap: 10px; font-weight: 650; color: inherit; text-decoration: none; letter-spacing: -0.01em; }
nav, nav form { display: flex; align-items: center; gap: 18px; }
nav span { color: var(--dim); }
a { color: var(--accent); }
main { max-width: 1060px; margin: 32px auto; padding: 0 28px; }
main.narrow { max-width: 420px; }
h1 { font-size: 24px; letter-spacing: -0.02em; margin: 0 0 4px; }
h2 { font-size: 16px; margin: 32px 0 10px; }
p.lead, .dim { color: var(--dim); }
p.lead { margin: 0 0 24px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; }
.narrow .card { margin-top: 16px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 14px; }
a.card { display: block; color: inherit; text-decoration: none; }
a.card:hover { border-color: var(--accent); }
a.card strong { display: block; margin-bottom: 2px; color: var(--accent); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(225px, 1fr)); gap: 16px 24px; margin: 0; }
dt { color: var(--dim); font-size: 12.5px; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { text-align: left; padding: 8px 14px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
td.wide { min-width: 280px; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
th { color: var(--dim); font-weight: 500; font-size: 12.5px; white-space: nowrap; }
td.time, td.id { white-space: nowrap; font-variant-numeric: tabular-nums; }
code, pre, td.id { font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; font-size: 13px; }
pre { margin: 0; padding: 14px 18px; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.status { display: inline-block; padding: 1px 9px; border-radius: 99px; border: 1px solid currentColor; font-size: 13px; }
.status.completed { color: var(--good); } .status.failed, .status.crashed, .status.timeout { color: var(--bad); }
.status.completed_with_item_errors, .status.cancelled, .status.blocked, .status.interrupted, .status.lost { color: var(--warn); }
.status.running, .status.dispatched, .status.queued, .status.scheduled { color: var(--accent); }
label { display: block; margin: 14px 0 4px; font-size: 13.5px; color: var(--dim); }
input, textarea { width: 100%; padding: 9px 11px; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 7px; }
textarea { font-family: ui-monospace, Menlo, "DejaVu Sans Mono", monospace; font-size: 12.5px; resize: vertical; }
input:focus, textarea:focus { outline: 2px solid var(--accent); outline-offset: -1px; border-color: transparent; }
button { padding: 8px 16px; font: inherit; font-weight: 550; color: #fff; background: #3d5afe; border: 0; border-radius: 7px; cursor: pointer; }
.card button { width: 100%; margin-top: 18px; }
nav button { padding: 4px 11px; color: inherit; background: none; border: 1px solid var(--line); }
details { margin-top: 20px; border-top: 1px solid var(--line); padding-top: 14px; }
summary { cursor: pointer; color: var(--dim); }
.notice { border-left: 3px solid var(--bad); padding: 8px 14px; margin: 14px 0 0; background: color-mix(in srgb, var(--bad) 8%, transparent); }
`;

/** A crescent over three bars: the night, and its queues. */
export const ICON_SVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1f2a5c"/><path d="M21 5.5a7.5 7.5 0 1 0 6 11.9A8.6 8.6 0 0 1 21 5.500z" fill="#ffd479"/><rect x="5" y="21" width="14" height="2.400" rx="1.200" fill="#8c9eff"/><rect x="5" y="25" width="9" height="2.400" rx="1.200" fill="#8c9eff" opacity=".65"/></svg>`;
