/** Style sheet of the live page; light and dark by the reader's own setting. */
export const pageStyle = `
:root { color-scheme: light dark; --bg:#f6f7f9; --card:#fff; --text:#1b2430; --soft:#5b6776; --line:#dde2e8;
  --accent:#3d6fd6; --good:#1c7c4a; --bad:#b3261e; --warn:#8a5a00; --track:#e6eaf0; }
@media (prefers-color-scheme: dark) { :root { --bg:#12161c; --card:#1b212a; --text:#e4e9f0; --soft:#9aa7b6;
  --line:#2c3541; --accent:#82a9ff; --good:#5fcf92; --bad:#ff8a80; --warn:#f0be63; --track:#2a3340; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--bg); color:var(--text); font:15px/1.45 system-ui, sans-serif; }
header, main { max-width:80rem; margin:0 auto; padding:0 1.25rem; }
header { display:flex; flex-wrap:wrap; gap:.5rem 1rem; align-items:center; padding-top:1.25rem; padding-bottom:.75rem; }
h1 { font-size:1.3rem; margin:0; }
h2 { font-size:1rem; margin:0 0 .6rem; display:flex; gap:.5rem; align-items:baseline; }
h2 small { color:var(--soft); font-weight:normal; }
.spacer { flex:1; }
.soft { color:var(--soft); }
.pill { border:1px solid currentColor; border-radius:99px; padding:.05rem .6rem; font-size:.82rem; white-space:nowrap; }
.good { color:var(--good); } .bad { color:var(--bad); } .warn { color:var(--warn); } .info { color:var(--accent); }
.cards { display:grid; grid-template-columns:repeat(auto-fit, minmax(8.5rem, 1fr)); gap:.75rem; margin:0 0 .75rem; }
.cards div, section { background:var(--card); border:1px solid var(--line); border-radius:.6rem; }
.cards div { padding:.6rem .9rem; }
.cards dt { color:var(--soft); font-size:.82rem; } .cards dd { margin:0; font-size:1.5rem; font-variant-numeric:tabular-nums; }
section { padding:.9rem 1rem; margin:0 0 .75rem; overflow-x:auto; }
.columns { display:grid; grid-template-columns:repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap:0 .75rem; align-items:start; }
table { border-collapse:collapse; width:100%; font-size:.9rem; }
th { text-align:left; color:var(--soft); font-weight:500; font-size:.8rem; }
th, td { padding:.3rem .75rem .3rem 0; border-bottom:1px solid var(--line); vertical-align:top; }
tr:last-child td { border-bottom:0; }
td.number, th.number { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap; }
td.name { overflow-wrap:anywhere; min-width:9rem; }
.machines { display:grid; grid-template-columns:repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap:.75rem; }
.machines > table { grid-column:1 / -1; }
.machine { border:1px solid var(--line); border-radius:.5rem; padding:.6rem .75rem; }
.machine h3 { margin:0; font-size:.95rem; display:flex; gap:.5rem; flex-wrap:wrap; overflow-wrap:anywhere; }
.machine p { margin:.15rem 0 .35rem; font-size:.82rem; }
.machine ul { margin:.4rem 0 0; padding-left:1.1rem; font-size:.85rem; overflow-wrap:anywhere; }
.bar { display:grid; grid-template-columns:3.6rem 1fr 4.6rem; gap:.5rem; align-items:center; font-size:.8rem; color:var(--soft); }
.bar meter { width:100%; height:.7rem; border-radius:.35rem; border:0; background:var(--track); }
.bar meter::-webkit-meter-bar { background:var(--track); border:0; border-radius:.35rem; height:.55rem; }
.bar meter::-webkit-meter-optimum-value { background:var(--accent); border-radius:.35rem; }
.bar meter::-webkit-meter-suboptimum-value { background:var(--warn); border-radius:.35rem; }
.bar meter::-moz-meter-bar { background:var(--accent); }
.bar span:last-child { text-align:right; font-variant-numeric:tabular-nums; }
.reasons { display:flex; flex-wrap:wrap; gap:.4rem; margin:0 0 .6rem; padding:0; list-style:none; }
.empty { color:var(--soft); margin:0; }
a { color:var(--accent); }
`;
