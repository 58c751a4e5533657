/** Alerts, board and exposition: accepted by promtool, and about families that exist. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Metrics } from "../../lib/status/index.js";
import { serve } from "../status/http-client.js";
import { idleRecording, recordedSource, runningRecording } from "../status/recorded-source.js";
import { complaintsAbout, hasPromtool, namesIn, promtool } from "../support/promtool.js";

const ops = fileURLToPath(new URL("../../ops", import.meta.url));
const withPromtool = it.skipIf(!hasPromtool);

async function exposition(recording: typeof runningRecording): Promise<string> {
  const recorded = recordedSource(recording);
  const { now } = recorded;
  const store = { name: "cache", puts: 1, putBytes: 1, putMs: 1, gets: 1, getBytes: 1, getMs: 1, heads: 1 };
  const source = { ...recorded.source, remoteStores: () => [store] };
  const metrics = new Metrics();
  metrics.observeWait("x86_64-linux", 3);
  metrics.observeStep("x86_64-linux", "succeeded", 3);
  metrics.observeRequest("/status", 200, 0.1);
  await using api = await serve({ source, metrics, clock: () => now });
  return (await api.ask("GET", "/metrics")).text;
}

const testFiles = ["hydra-runner.test.yml", "hydra-runner-days.test.yml"];

describe("promtool", () => {
  withPromtool("has no complaint about a family of our own", async () => {
    const { all, own } = complaintsAbout(await exposition(runningRecording));
    // It does complain about given names, so it was really asked.
    expect(all.length).toBeGreaterThan(10);
    expect(own).toEqual([]);
  });

  withPromtool("accepts the alerts, and each fires when it should and only then", () => {
    expect(promtool(["check", "rules", "hydra-runner.rules.yml"])).toMatchObject({ status: 0 });
    for (const name of testFiles) expect(promtool(["test", "rules", name])).toMatchObject({ status: 0 });
  });
});

const rules = readFileSync(join(ops, "prometheus/hydra-runner.rules.yml"), "utf8");
const ruleTests = testFiles.map((name) => readFileSync(join(ops, "prometheus", name), "utf8")).join("");
const board = readFileSync(join(ops, "grafana/hydra-queue-runner.json"), "utf8");

describe("alerts", () => {
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name ?? "");

  it.each(alerts)("%s has a test in which it fires and one in which it does not", (alert) => {
    const tests = ruleTests.split("  - interval:").filter((text) => text.includes(`alertname: ${alert}\n`));
    expect(tests.some((text) => text.includes("exp_labels:"))).toBe(true);
    expect(tests.some((text) => text.includes("exp_alerts: []"))).toBe(true);
  });

  it("name sections of docs/troubleshooting.md that exist", () => {
    const document = readFileSync(join(ops, "../docs/troubleshooting.md"), "utf8");
    const sections = [...document.matchAll(/^## (.+)$/gm)].map(([, title]) => title);
    const named = [...rules.matchAll(/See: ([^."]+)\./g)].map(([, title]) => title);
    expect(named).toHaveLength(alerts.length);
    expect(named.filter((title) => !sections.includes(title))).toEqual([]);
  });
});

describe("alerts and board", () => {
  it.each([
    ["alerts", rules],
    ["board", board],
  ])("%s are about families that the runner has", async (_, text) => {
    const families = new Set(namesIn(await exposition(idleRecording)));
    const used = [...text.matchAll(/\b(?:hydraqueuerunner|process|nodejs)_\w+/g)].map(([name]) =>
      name.replace(/_bucket$/, ""),
    );
    expect(used.length).toBeGreaterThan(10);
    expect([...new Set(used)].filter((name) => !families.has(name))).toEqual([]);
  });

  it("the board's panels have ids of their own, a place of their own, and a query", () => {
    interface Panel {
      readonly id: number;
      readonly type: string;
      readonly title: string;
      readonly gridPos: { readonly x: number; readonly y: number; readonly w: number };
      readonly targets?: readonly { readonly expr: string }[];
    }
    const { panels } = JSON.parse(board) as { readonly panels: readonly Panel[] };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x},${y}`)).size).toBe(panels.length);
    for (const { type, title, gridPos, targets } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      if (type !== "row") expect(targets?.length, title).toBeGreaterThan(0);
    }
  });

  withPromtool("the board's queries are PromQL", () => {
    const { panels } = JSON.parse(board) as { panels: { targets?: { expr: string }[] }[] };
    const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const concrete = queries.map((query) => query.replaceAll("$__rate_interval", "5m"));
    const list = concrete.map(
      (expr, index) => `      - { record: "board:query:q${index}", expr: ${JSON.stringify(expr)} }`,
    );
    const file = ["groups:", "  - name: board", "    rules:", ...list, ""].join("\n");
    const folder = mkdtempSync(join(tmpdir(), "board-"));
    try {
      writeFileSync(join(folder, "board.yml"), file);
      expect(promtool(["check", "rules", join(folder, "board.yml")])).toMatchObject({ status: 0 });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
