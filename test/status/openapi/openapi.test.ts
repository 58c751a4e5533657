/** `/openapi.json` against real answers: every route is called, and what comes is what is described. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLogFilter } from "../../../lib/config/index.js";
import { LogLevels } from "../../../lib/log-levels.js";
import type { AttemptRecord, BuildRecord, LogRecord } from "../../../lib/status/index.js";
import { load } from "../../scheduler/world.js";
import { Contract } from "../../support/contract.js";
import { drvOf, type Farm, openFarm } from "../api/farm.js";
import type { Answer } from "../http-client.js";

const token = "secret";
const authorization = `Bearer ${token}`;

const cost = {
  cpuUserMs: 5,
  cpuSystemMs: null,
  peakMemory: 6,
  readBytes: null,
  writtenBytes: null,
  outputBytes: 7,
  source: "cgroup",
};

function attempt(name: string, more: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    drv: drvOf(name),
    build: 1,
    job: name,
    try: 1,
    machine: "vm",
    system: "x86_64-linux",
    startedAt: 10_000,
    stoppedAt: 70_000,
    status: 1,
    error: "builder failed with exit code 2",
    cost,
    ...more,
  };
}

const build: BuildRecord = {
  id: 9,
  project: "p",
  jobset: "j1",
  job: "broken",
  drv: drvOf("broken"),
  system: "x86_64-linux",
  finished: true,
  status: 1,
  cached: false,
  priority: 100,
  globalPriority: 0,
  queuedAt: 5_000,
  startedAt: 6_000,
  stoppedAt: 70_000,
  outputs: [{ name: "out", path: undefined }],
  products: [{ type: "file", subtype: "", name: "x", path: "/nix/store/x", size: undefined }],
};

const log: LogRecord = {
  modifiedAt: 70_000,
  isNewest: true,
  async *read({ start, end }) {
    yield Buffer.from("make: *** [all] Error 2\n").subarray(start, end);
  },
  length: async () => 24,
  async *follow() {},
};

/** One of everything that an answer can hold. */
async function openFullFarm(): Promise<Farm> {
  const problem = {
    part: "uploads",
    code: "upload-failing",
    subject: "cache",
    reason: "503",
    advice: "look",
  };
  const levels = new LogLevels((text) => readLogFilter("hydra_queue_runner", text), "info");
  const farm = await openFarm({
    token,
    source: {
      logLevels: levels,
      health: () => ({
        state: "active",
        queueLoaded: true,
        canRecord: true,
        problems: [{ ...problem, part: "uploads", since: 5_000 }],
      }),
      recentBuilds: () => [
        {
          id: 9,
          project: "p",
          jobset: "j1",
          job: "broken",
          drvPath: drvOf("broken"),
          status: 1,
          finishedAt: 70_000,
          durationMs: 64_000,
          machine: "vm",
          cached: false,
        },
      ],
      skippedBuilds: () => [{ id: 10, reason: "no such derivation", since: 1_000 }],
      pendingUploads: () => [`${"0".repeat(32)}-x`],
      pendingUploadCount: () => 1,
      remoteStores: () => [
        { name: "cache", puts: 3, putBytes: 9, putMs: 1, gets: 2, getBytes: 1, getMs: 1, heads: 4 },
      ],
    },
    api: {
      history: async () => ({
        intervalMs: 60_000,
        points: [
          { at: 0, done: 1, failed: 0, waitMs: null, slotsUsed: null, slots: null },
          { at: 60_000, done: 1, failed: 2, waitMs: 3, slotsUsed: 1, slots: 2 },
        ],
      }),
      endedProblems: () => [{ ...problem, since: 1_000, until: 2_000 }],
      uploads: {
        paths: () => [{ path: `${"0".repeat(32)}-x`, since: 4_000 }],
        oldestSince: () => 4_000,
        retry: () => 1,
      },
      logs: { list: async (drv) => (drv === build.drv ? [log] : []) },
      records: {
        attempts: async () => [
          attempt("broken"),
          attempt("one", { stoppedAt: undefined, status: undefined }),
        ],
        tries: async (drv) => (drv === build.drv ? [attempt("broken")] : []),
        build: async (id) =>
          id === 9
            ? build
            : id === 1
              ? {
                  ...build,
                  id: 1,
                  drv: drvOf("top"),
                  finished: false,
                  status: undefined,
                  stoppedAt: undefined,
                }
              : undefined,
        endedSteps: async () => [
          {
            drv: drvOf("broken"),
            status: 1,
            machine: "vm",
            startedAt: 6_000,
            stoppedAt: 70_000,
            error: "failed",
          },
        ],
        outputs: async () => [{ name: "out", path: `/nix/store/${"0".repeat(32)}-x` }],
        findBuilds: async () => [build],
        errors: async () => new Map([[9, "make: *** [all] Error 2"]]),
      },
    },
  });
  const { world } = farm;
  world.machine("vm", { maxJobs: 1 });
  world.machine("drained", { maxJobs: 1 });
  world.machine("silent", { maxJobs: 1, load1Threshold: 2 });
  for (const name of ["vm", "drained"]) world.scheduler.updateMachine(name as never, load, world.now);
  world.scheduler.drainMachine("drained" as never, world.now);
  farm.step("one", [], { expectedDurationMs: 1_000 });
  farm.step("two");
  farm.step("kvm", [], { features: ["kvm"] });
  farm.step("top", ["one", "two", "kvm"]);
  farm.build(1, "top");
  farm.build(2, "two");
  world.assign();
  world.now += 60_000;
  return farm;
}

/** Values for the names in paths: those that exist, and others. */
const samples: Readonly<
  Record<string, { readonly known: readonly string[]; readonly unknown: readonly string[] }>
> = {
  id: { known: ["1", "9"], unknown: ["77", "x"] },
  drv: {
    known: ["top", "one", "two", "kvm", "broken"].map(drvOf),
    unknown: [drvOf("never"), "x", `${"0".repeat(32)}-x`],
  },
  name: { known: ["vm", "drained", "silent"], unknown: ["gone"] },
  machine: { known: ["vm"], unknown: ["gone"] },
  try: { known: ["1"], unknown: [] },
};

/** Bodies of those routes that take one. */
const bodies: Readonly<Record<string, readonly object[]>> = {
  submitBuild: [{ drv: drvOf("one"), jobsetId: 1 }, { drv: "x", jobsetId: 1 }, {}],
  loadBuild: [{ buildId: 1 }, { buildId: "1" }],
  changeLogLevel: [{ filter: "debug" }, { filter: "loud" }],
};

function* urls(path: string): Generator<string> {
  const name = /\{(\w+)\}/.exec(path)?.[1];
  if (name === undefined) {
    yield path;
    return;
  }
  const { known, unknown } = samples[name] ?? { known: [], unknown: [] };
  for (const value of [...known, ...unknown]) {
    yield* urls(path.replace(`{${name}}`, encodeURIComponent(value)));
  }
}

const typeOf = ({ headers }: Answer): string => headers["content-type"] ?? "";

describe("the description of the API", () => {
  let farm: Farm;
  let contract: Contract;
  beforeAll(async () => {
    farm = await openFullFarm();
    contract = new Contract((await farm.ask("GET", "/openapi.json")).json);
  });
  afterAll(() => farm[Symbol.asyncDispose]());

  it("has every route, with words about it and its parameters", async () => {
    expect(contract.description.openapi).toBe("3.1.0");
    const incomplete: string[] = [];
    const ids = new Set<string>();
    for (const [method, path, operation] of contract.operations) {
      ids.add(operation.operationId);
      const inPath = [...path.matchAll(/\{(\w*)\}/g)].map(([, name]) => name);
      const described = operation.parameters.filter((one) => one.in === "path").map(({ name }) => name);
      const texts = [operation.summary, ...operation.parameters.map(({ description }) => description)];
      if (texts.some((text) => text.length < 5) || inPath.join() !== described.join()) {
        incomplete.push(`${method} ${path}`);
      }
    }
    expect(incomplete).toEqual([]);
    expect(ids.size).toBe(contract.operations.length);
    // Of each table of routes one, and as many as there are in all.
    expect(ids).toContain("pageOverview");
    expect(contract.operations.length).toBeGreaterThan(45);
  });

  it("is true of every route's answers, with what is there and what is not", async () => {
    for (const [method, path, { operationId }] of contract.operations) {
      if (operationId === "events") continue;
      for (const url of urls(path)) {
        for (const body of bodies[operationId] ?? [undefined]) {
          const options = body === undefined ? {} : { body: JSON.stringify(body) };
          const answer = await farm.ask(method, url, { ...options, headers: { authorization } });
          const described = { status: answer.status, contentType: typeOf(answer), body: answer.text };
          if (operationId === "pageFile") expect(answer.status).toBe(404);
          contract.check(method, url, described);
        }
      }
    }
    // Health answers 503 here, as a cache fails.
    const unseen = contract.operations.map(([, , { operationId }]) => operationId);
    expect(unseen.filter((id) => !contract.seen.has(id))).toEqual(["pageFile", "health", "events"]);
  });

  it("is true of parts of logs, files of the page and events", async () => {
    const path = `/api/steps/${drvOf("broken")}/log`;
    for (const range of ["bytes=0-3", "bytes=900-"]) {
      const answer = await farm.ask("GET", path, { headers: { range } });
      contract.check("GET", path, { status: answer.status, contentType: typeOf(answer), body: answer.text });
    }
    const script = /assets\/[^"]+\.js/.exec((await farm.ask("GET", "/")).text)?.[0];
    expect((await farm.ask("GET", `/${script}`)).status).toBe(200);
    const stream = await fetch(`http://127.0.0.1:${farm.port}/api/events`);
    contract.check("GET", "/api/events", {
      status: stream.status,
      contentType: stream.headers.get("content-type") ?? "",
      body: "",
    });
    for await (const bytes of stream.body ?? []) {
      const [, data] = /^event: changed\ndata: (.*)\n/.exec(Buffer.from(bytes).toString()) ?? [];
      contract.checkNamed("Changed", JSON.parse(data ?? "null"));
      break;
    }
  });

  it("has the bounds of parameters that routes have", async () => {
    const { operations } = contract;
    const wrong: string[] = [];
    for (const [method, path, { parameters }] of operations) {
      const [url = ""] = urls(path.replace("{drv}", drvOf("broken")));
      for (const { name, in: place, schema } of parameters) {
        if (place !== "query" || name === "events") continue;
        const { minimum = 0, maximum = 0, maxLength = 0 } = schema;
        const [good, bad]: [(string | number)[], (string | number)[]] =
          schema.enum !== undefined
            ? [[...schema.enum], ["x"]]
            : schema.type === "integer"
              ? [
                  [minimum, maximum].filter((value) => name !== "from" || value === minimum),
                  [minimum - 1, "x"],
                ]
              : [["x".repeat(maxLength)], ["x".repeat(maxLength + 1)]];
        if (schema.type === "integer" && maximum < Number.MAX_SAFE_INTEGER) bad.push(maximum + 1);
        const status = async (value: string | number): Promise<number> => {
          const to = name === "to" ? "" : "&to=9007199254740991";
          return (await farm.ask(method, `${url}?${name}=${value}${path.endsWith("timeline") ? to : ""}`))
            .status;
        };
        for (const value of good) {
          const isUnknown = name === "try" && value === maximum;
          const wanted = name === "cursor" ? 400 : isUnknown ? 404 : 200;
          if ((await status(value)) !== wanted) wrong.push(`${path}?${name}=${String(value).slice(0, 20)}`);
        }
        for (const value of bad) {
          if ((await status(value)) !== 400) wrong.push(`${path}?${name}=${String(value).slice(0, 20)}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("says which routes want the token", async () => {
    for (const [method, path] of contract.operations) {
      if (method === "GET") continue;
      const [url = ""] = urls(path);
      const answer = await farm.ask(method, url);
      expect(answer.status).toBe(401);
      contract.check(method, url, { status: 401, contentType: typeOf(answer), body: answer.text });
    }
  });

  it("is compressed, tagged, and answers HEAD", async () => {
    const whole = await farm.ask("GET", "/openapi.json", { headers: { "accept-encoding": "gzip" } });
    const head = await farm.ask("HEAD", "/openapi.json");
    const tag = String(head.headers.etag);
    expect(whole.headers).toMatchObject({ etag: tag, "content-encoding": "gzip" });
    expect(head).toMatchObject({ status: 200, text: "" });
    const again = await farm.ask("GET", "/openapi.json", { headers: { "if-none-match": tag } });
    expect(again).toMatchObject({ status: 304, text: "" });
  });
});
