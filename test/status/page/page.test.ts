/** The live page: one document, no requests to elsewhere, a policy that lets only its own script run. */
import { createHash } from "node:crypto";
import { createContext, runInContext, Script } from "node:vm";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, serve, type TestApi } from "../http-client.js";
import { recordedSource, runningRecording } from "../recorded-source.js";
import { Document, Node } from "./fake-dom.js";

let api: TestApi;
let page: Answer;
beforeAll(async () => {
  const { source, metrics, now } = recordedSource(runningRecording);
  api = await serve({ source, metrics, clock: () => now });
  page = await api.ask("GET", "/");
});
afterAll(() => api[Symbol.asyncDispose]());

const between = (tag: string): string =>
  new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(page.text)?.[1] ?? "";

describe("the live page", () => {
  it("is one HTML document", () => {
    expect(page.status).toBe(200);
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(page.text).toMatch(/^<!doctype html>\n<html lang="en">\n/);
  });

  it("closes every element, in order", () => {
    const empty = new Set(["meta", "link", "br", "hr", "img", "input"]);
    const markup = page.text
      .replaceAll(/<(script|style)>[\s\S]*?<\/\1>/g, "<$1></$1>")
      .replace(/^<!doctype html>/, "");
    const open: string[] = [];
    for (const [, end, name = ""] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:\s[^<>]*)?>/g)) {
      if (end === "/") expect(open.pop()).toBe(name);
      else if (!empty.has(name)) open.push(name);
    }
    expect(open).toEqual([]);
    expect(markup.replaceAll(/<[^<>]*>/g, "")).not.toMatch(/[<>]/);
  });

  it("has ids once, and every one that its script and labels refer to", () => {
    const ids = [...page.text.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    const used = [
      ...[...between("script").matchAll(/byId\("([^"]+)"\)/g)].map((match) => match[1]),
      ...[...page.text.matchAll(/aria-labelledby="([^"]+)"/g)].map((match) => match[1]),
    ];
    expect(used.length).toBeGreaterThan(8);
    expect(used.filter((id) => !ids.includes(id))).toEqual([]);
  });

  it("asks nobody but its own server", () => {
    const links = [...page.text.matchAll(/\b(?:href|src|action)="([^"]*)"/g)].map((match) => match[1] ?? "");
    expect(links.filter((link) => /^(?:[a-z]+:|\/)/i.test(link))).toEqual([]);
    expect(page.text).not.toMatch(
      /https?:\/\/|@import|url\(|\bimport\b|XMLHttpRequest|innerHTML|document\.write/,
    );
    expect([...between("script").matchAll(/\bfetch\("([^"]*)"/g)].map((match) => match[1])).toEqual([
      "status/overview",
    ]);
  });

  it("has a policy that knows the hashes of its script and style, and no inline handlers", () => {
    const policy = String(page.headers["content-security-policy"]);
    const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`script-src ${hash(between("script"))};`);
    expect(policy).toContain(`style-src ${hash(between("style"))};`);
    expect(policy).not.toContain("unsafe");
    expect(page.text.replaceAll(/<script>[\s\S]*?<\/script>/g, "")).not.toMatch(/\son[a-z]+=|\sstyle=/);
    expect(page.headers["x-content-type-options"]).toBe("nosniff");
  });

  it("has a script that is JavaScript", () => {
    expect(() => new Script(between("script"))).not.toThrow();
  });
});

describe("GET /status/overview", () => {
  it("has every member that the script reads", async () => {
    const { json } = await api.ask("GET", "/status/overview");
    const read = new Set([...between("script").matchAll(/\bd\.([a-zA-Z]+)/g)].map((match) => match[1] ?? ""));
    expect([...read].filter((name) => !(name in json))).toEqual([]);
    const counts = new Set(
      [...between("script").matchAll(/\bc\.([a-zA-Z]+)/g)].map((match) => match[1] ?? ""),
    );
    expect([...counts].filter((name) => !(name in json.counts))).toEqual([]);
    const machine = new Set(
      [...between("script").matchAll(/\bm\.([a-zA-Z0-9]+)/g)].map((match) => match[1] ?? ""),
    );
    expect([...machine].filter((name) => !(name in json.machines[0]))).toEqual([]);
  });
});

describe("the page's script", () => {
  /** Runs the script over what the server would tell, once for each answer, and returns the document it has drawn. */
  async function drawn(overview: unknown, status = 200, ...later: unknown[]): Promise<Document> {
    const ids = [...page.text.matchAll(/ id="([^"]+)"/g)].map((match) => match[1] ?? "");
    const document = new Document(ids);
    const answers = [overview, ...later];
    let done = (): void => {};
    const all = new Promise<void>((resolve) => {
      done = resolve;
    });
    const context = createContext({
      document,
      Node,
      AbortSignal,
      fetch: async () => ({
        ok: status === 200,
        status,
        json: async () => {
          seen.push(...(document.getElementById("queues")?.all() ?? []));
          return structuredClone(answers.shift());
        },
      }),
      // The script asks for its next round when this one is drawn.
      setTimeout: (next: () => void) => (answers.length > 0 ? next() : done()),
    });
    runInContext(between("script"), context);
    if (status !== 200) answers.splice(0);
    await all;
    return document;
  }
  /** Elements of the queues as they were when the last answer came. */
  let seen: unknown[] = [];
  beforeEach(() => {
    seen = [];
  });
  const text = (document: Document, id: string): string => document.getElementById(id)?.textContent ?? "";

  it("draws the recorded runner", async () => {
    const { json } = await api.ask("GET", "/status/overview");
    const document = await drawn(json);
    expect(text(document, "state")).toBe("active");
    expect(text(document, "note")).toBe("");
    expect(text(document, "machines")).toContain("vm");
    expect(text(document, "queues")).toContain("x86_64-linux: 1 running");
    expect(text(document, "queues")).toContain("cancelme");
    expect(text(document, "builds")).toContain("cancel");
    expect(document.title).toContain("1 building");
  });

  it("draws every kind of machine block, failures, retries and trouble, and shows what comes as text", async () => {
    const { json } = await api.ask("GET", "/status/overview");
    const [machine] = json.machines;
    const evil = "<img src=x onerror=alert(1)>";
    const blocks = [
      { kind: "full", jobs: 1, maxJobs: 1 },
      { kind: "uploads", uploads: 4, limit: 4 },
      { kind: "threshold", what: "memPressure" },
      { kind: "noPing" },
      { kind: "burst" },
      { kind: "held", until: json.now + 60_000 },
      { kind: "probing" },
      { kind: "disconnected" },
    ];
    const document = await drawn({
      ...json,
      problems: [{ part: "database", reason: evil }],
      machines: [
        ...blocks.map((block) => ({ ...machine, block })),
        { ...machine, hostname: evil, draining: true },
      ],
      attempts: [
        { step: evil, machine: machine.id, hostname: "vm", build: 1, startedAt: json.now, phase: "building" },
      ],
      queues: [
        {
          system: evil,
          running: 0,
          ready: 0,
          delayed: 1,
          steps: [
            {
              drv: evil,
              state: "delayed",
              tries: 1,
              build: 1,
              since: 0,
              notBefore: json.now + 5_000,
              reason: evil,
            },
          ],
        },
      ],
      recent: [
        {
          id: 1,
          job: evil,
          drvPath: evil,
          status: 1,
          result: "failed",
          machine: evil,
          cached: false,
          durationMs: 90_061_000,
          finishedAt: json.now,
        },
        {
          id: 2,
          job: "",
          drvPath: evil,
          status: 0,
          result: "succeeded",
          cached: true,
          durationMs: 0,
          finishedAt: json.now,
        },
      ],
      skipped: [{ id: 3, reason: evil, since: 0 }],
    });
    expect(text(document, "state")).toBe("trouble");
    expect(text(document, "note")).toBe("");
    expect(text(document, "machines")).toContain("memory pressure over its limit");
    expect(text(document, "machines")).toContain("held for 1 min 0 s");
    expect(text(document, "recent")).toContain("1 d 1 h");
    for (const id of ["problems", "machines", "queues", "recent", "skipped"]) {
      expect(text(document, id)).toContain(evil);
      for (const node of document.getElementById(id)?.all() ?? []) {
        expect(node.tag).not.toBe("img");
        expect(node.getAttribute("href") ?? "").not.toMatch(/^javascript:|[<> ]/);
      }
    }
  });

  it("changes rows in place: a step keeps its elements while others come and go", async () => {
    const { json } = await api.ask("GET", "/status/overview");
    const row = (drv: string, tries: number) => ({ drv, state: "ready", why: `why ${drv}`, tries, since: 0 });
    const queue = (...steps: unknown[]) => ({
      ...json,
      queues: [{ system: "s", running: 0, ready: 2, delayed: 0, steps }],
    });
    const document = await drawn(
      queue(row("a", 1), row("b", 1), row("c", 1)),
      200,
      queue(row("d", 1), row("c", 2), row("b", 1)),
    );
    const rows = (document.getElementById("queues")?.all() ?? []).filter(({ tag }) => tag === "tr");
    expect(rows.slice(1).map((one) => one.textContent.replace(/\d+ d.*/, ""))).toEqual([
      expect.stringContaining("dwhy d1"),
      expect.stringContaining("cwhy c2"),
      expect.stringContaining("bwhy b1"),
    ]);
    expect(rows.map((one) => seen.includes(one))).toEqual([true, false, true, true]);
  });

  it("shows many machines as rows of a table", async () => {
    const { json } = await api.ask("GET", "/status/overview");
    const machines = Array.from({ length: 60 }, (_, index) => ({
      ...json.machines[0],
      id: `m${index}`,
      hostname: `host-${index}`,
    }));
    const document = await drawn({ ...json, machines });
    const all = document.getElementById("machines")?.all() ?? [];
    expect(all.filter(({ tag }) => tag === "tr")).toHaveLength(61);
    expect(all.filter(({ tag }) => tag === "article")).toEqual([]);
  });

  it("says so when the runner does not answer", async () => {
    expect(text(await drawn({}, 503), "note")).toContain("HTTP 503");
  });
});
