/**
 * Script of the live page: fetches `/status/overview` every two seconds while the page is visible and changes in place what
 * is different, so that focus, selection and scroll positions stay.
 * Everything that comes from the runner is set as text, never as markup.
 */
export const pageScript = String.raw`
"use strict";
const byId = (id) => document.getElementById(id);
function make(tag, options, ...children) {
  const node = document.createElement(tag);
  const { text, ...rest } = options ?? {};
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
// Makes a node on the page equal to a new one, keeping the old one where tag and key are the same.
function update(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
  if (fresh.nodeType !== 1) { if (old.data !== fresh.data) old.data = fresh.data; return; }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  updateChildren(old, [...fresh.childNodes]);
}
function updateChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let place = parent.firstChild;
  for (const next of fresh) {
    const same = next.dataset?.key ? keyed.get(next.dataset.key) : undefined;
    if (same) keyed.delete(next.dataset.key);
    const old = same ?? (place && !place.dataset?.key ? place : undefined);
    if (old === undefined) { parent.insertBefore(next, place); continue; }
    if (old === place) place = place.nextSibling;
    else parent.insertBefore(old, place);
    update(old, next);
  }
  while (place) { const after = place.nextSibling; place.remove(); place = after; }
}
const show = (id, ...nodes) => updateChildren(byId(id), nodes);
function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}
const drvName = (path) => path.replace(/^[0-9a-z]{32}-/, "").replace(/\.drv$/, "");
const gib = (bytes) => (bytes / 2 ** 30).toFixed(1);
const words = {
  running: "running", waitingForInputs: "waiting for inputs", waitingForDynamicInputs: "waiting for dynamic inputs",
  gated: "waiting for an upload", retryLater: "waiting for a retry", unsupported: "no machine supports it",
  machinesBusy: "machines busy", nextInLine: "next in line",
};
const thresholds = { buildDir: "build disk", store: "store disk", load1: "load", cpuPressure: "CPU pressure",
  memPressure: "memory pressure", ioPressure: "I/O pressure" };
function blockText(block, now) {
  if (!block) return "";
  switch (block.kind) {
    case "full": return "full";
    case "uploads": return "uploading";
    case "threshold": return thresholds[block.what] + " over its limit";
    case "noPing": return "no ping yet";
    case "policy": return "no room by the operator's rule";
    case "burst": return "cooling down";
    case "held": return "held for " + span(block.until - now);
    case "probing": return "on trial";
    case "draining": return "draining";
    case "disconnected": return "disconnected";
    default: return block.kind;
  }
}
function table(columns, rows, empty) {
  if (rows.length === 0) return make("p", { class: "empty", text: empty });
  const head = make("tr", {}, ...columns.map(([title, kind]) => make("th", { scope: "col", class: kind, text: title })));
  const body = rows.map(({ key, cells }) => make("tr", { "data-key": key }, ...cells.map((cell, i) => {
    const options = { class: columns[i][1] };
    return cell instanceof Node ? make("td", options, cell) : make("td", { ...options, text: String(cell) });
  })));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
}
function bar(title, value, max, text) {
  const meter = make("meter", { min: 0, max: Math.max(max, 0.001), value, high: max * 0.95, optimum: 0, "aria-label": title + " " + text });
  return make("div", { class: "bar" }, make("span", { text: title }), meter, make("span", { text }));
}
const whyNamed = (drv, name) => make("a", { href: "status/steps/" + encodeURIComponent(drv) + "/why", title: drv, text: name });
const why = (drv) => whyNamed(drv, drvName(drv));
// Beyond a screenful of cards, a row for each machine.
const mostCards = 12;
function machineState(m, now) {
  return m.draining ? ["draining", "warn"] : m.block && m.block.kind !== "full" ? [blockText(m.block, now), "warn"]
    : m.jobs >= m.maxJobs && m.jobs > 0 ? ["full", "info"] : m.jobs > 0 ? ["building", "info"] : ["idle", "good"];
}
function machineTable(machines, now) {
  return table([["Machine", "name"], ["State"], ["Systems", "name"], ["Jobs", "number"], ["Load", "number"], ["Memory, GiB", "number"],
    ["Store free", "number"], ["Last ping", "number"], ["Done", "number"], ["Failed", "number"]],
    machines.map((m) => { const state = machineState(m, now); return { key: m.id, cells: [m.hostname,
      make("span", { class: state[1], text: state[0] }), m.systems.join(", ") + (m.features.length ? " · " + m.features.join(", ") : ""),
      m.jobs + " / " + m.maxJobs, m.load1.toFixed(2), gib(m.memoryUsed) + " / " + gib(m.memoryTotal),
      m.storeFree === null ? "" : Math.round(m.storeFree) + " %", span(now - m.lastPing) + " ago", m.stepsDone, m.failed] }; }), "");
}
function machineCard(m, attempts, now) {
  const state = machineState(m, now);
  const own = attempts.filter((a) => a.machine === m.id);
  const list = make("ul", {}, ...own.map((a) => make("li", {}, why(a.step),
    make("span", { class: "soft", text: " " + a.phase + " " + span(now - a.startedAt) }))));
  return make("article", { class: "machine", "data-key": m.id },
    make("h3", {}, make("span", { text: m.hostname }), make("span", { class: "pill " + state[1], text: state[0] })),
    make("p", { class: "soft", text: m.systems.join(", ") + (m.features.length ? " · " + m.features.join(", ") : "") }),
    bar("Jobs", m.jobs, m.maxJobs, m.jobs + " / " + m.maxJobs),
    bar("Load", m.load1, m.cpuCount, m.load1.toFixed(2)),
    bar("Memory", m.memoryUsed, m.memoryTotal, gib(m.memoryUsed) + " GiB"),
    ...(own.length ? [list] : []));
}
function draw(d) {
  const now = d.now;
  const state = byId("state");
  state.textContent = d.problems.length ? "trouble" : d.state;
  state.className = "pill " + (d.problems.length ? "bad" : d.state === "active" ? "good" : "warn");
  byId("uptime").textContent = "up " + span(now - d.startedAt);
  document.title = (d.counts.running ? d.counts.running + " building – " : "") + "Queue runner";
  show("problems", ...d.problems.map((p) => make("section", { role: "alert" },
    make("strong", { class: "bad", text: p.part }), " " + (p.subject ? p.subject + ": " : "") + p.reason + ". ", make("em", { text: p.advice }))));
  const c = d.counts;
  const cards = [["Queued builds", c.builds], ["Steps to do", c.steps], ["Runnable", c.runnable], ["Running", c.running],
    ["Builds finished", c.buildsFinished], ["Steps succeeded", c.stepsSucceeded], ["Steps failed", c.stepsFailed],
    ["Retries", c.retries], ["Uploads waiting", c.uploads]];
  show("cards", ...cards.map(([t, v]) =>
    make("div", {}, make("dt", { text: t }), make("dd", { text: v.toLocaleString() }))));
  byId("machine-count").textContent = d.machines.length + " joined";
  show("machines", ...(d.machines.length > mostCards ? [machineTable(d.machines, now)]
    : d.machines.length ? d.machines.map((m) => machineCard(m, d.attempts, now))
    : [make("p", { class: "empty", text: "No builder has joined." })]));
  show("reasons", ...Object.entries(d.reasons).filter(([, n]) => n > 0).map(([code, n]) =>
    make("li", { class: "pill " + (code === "unsupported" ? "bad" : code === "running" ? "info" : "soft"),
      text: n.toLocaleString() + " " + (words[code] ?? code) })));
  show("queues", ...(d.queues.length ? d.queues.flatMap((q) => [
    make("h3", { text: q.system + ": " + q.running + " running, " + q.ready + " ready, " + q.delayed + " waiting for a retry" }),
    table([["Step", "name"], ["Why", "name"], ["Tries", "number"], ["Waiting", "number"]], q.steps.map((s) => ({ key: s.drv, cells: [why(s.drv),
      s.why ? s.why : s.state === "delayed" ? "retry in " + span(s.notBefore - now) + (s.reason ? ": " + s.reason : "") : s.state,
      s.tries, s.since ? span(now - s.since) : ""] })), "Empty.")])
    : [make("p", { class: "empty", text: "Nothing is waiting for a machine." })]));
  show("builds", table([["Build", "number"], ["Job", "name"], ["Jobset"], ["Queued", "number"]],
    d.builds.map((b) => ({ key: b.id, cells: [b.id, whyNamed(b.drv, b.job || drvName(b.drv)), b.jobset, span(now - b.queuedAt)] })), "The queue is empty."));
  show("recent", table([["Build", "number"], ["Job", "name"], ["Result"], ["Machine"], ["Took", "number"], ["Ended", "number"]],
    d.recent.map((b) => ({ key: b.id, cells: [b.id, whyNamed(b.drvPath, b.job || drvName(b.drvPath)),
      make("span", { class: b.status === 0 ? "good" : "bad",
        text: (b.status === 0 ? "✓ " : "✗ ") + b.result + (b.cached ? ", cached" : "") }),
      b.machine ?? "", b.cached ? "–" : span(b.durationMs), span(now - b.finishedAt) + " ago"] })), "No build has ended yet."));
  byId("skipped-section").hidden = d.skipped.length === 0;
  show("skipped", table([["Build", "number"], ["Reason", "name"]], d.skipped.map((b) => ({ key: b.id, cells: [b.id, b.reason] })), ""));
}
async function refresh() {
  const note = byId("note");
  try {
    const response = await fetch("status/overview", { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error("HTTP " + response.status);
    draw(await response.json());
    note.textContent = "";
  } catch (error) {
    note.textContent = "No answer from the runner (" + error.message + "); trying again.";
  }
}
async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, 2000);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
loop();
`;
