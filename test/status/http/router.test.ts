/** The rules of the status API: methods, refusals, tokens, caching, and what is ours alone. */
import { once } from "node:events";
import { connect } from "node:net";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";

import { readLogFilter } from "../../../lib/config/index.js";
import { HydraError } from "../../../lib/errors.js";
import { createLogger } from "../../../lib/log.js";
import { LogLevels } from "../../../lib/log-levels.js";
import { StatusError, type StatusRouterOptions, type StatusSource } from "../../../lib/status/index.js";
import { serve, type TestApi } from "../http-client.js";
import { idleRecording, recordedSource, runningRecording } from "../recorded-source.js";

const drv = "z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello.drv";
let api: TestApi | undefined;
afterEach(async () => {
  await api?.[Symbol.asyncDispose]();
  api = undefined;
});

async function start(overrides: Partial<StatusSource> = {}, options: Partial<StatusRouterOptions> = {}) {
  const { source, metrics, now } = recordedSource(runningRecording, overrides);
  api = await serve({ source, metrics, clock: () => now, ...options });
  return { ...api, calls: source.calls };
}

describe("routes", () => {
  it.each([
    "/status",
    "/status/machines",
    "/status/jobsets",
    "/status/builds",
    "/status/steps",
    "/status/runnable",
    "/status/queues",
    "/status/queues/jobs",
    "/status/queues/scheduled",
    "/status/uploads",
    "/metrics",
    "/health",
    "/ready",
  ])("GET %s, also with one trailing slash and with a query", async (path) => {
    const { ask } = await start();
    for (const form of [path, `${path}/`, `${path}?x=1`]) expect((await ask("GET", form)).status).toBe(200);
    expect(await ask("GET", `${path}//`)).toMatchObject({ status: 404, text: '{"error":"Not found"}' });
  });

  it.each([
    ["POST", "/status"],
    ["DELETE", "/status"],
    ["OPTIONS", "/status"],
    ["GET", "/build"],
    ["POST", "/build"],
    ["PUT", "/build_one"],
    ["GET", "/Status"],
    ["GET", "/%73tatus"],
    ["GET", "/status/build/1/active/"],
    ["GET", "/status/build//active"],
    ["GET", "/status/build/1/2/active"],
    ["GET", "/status/build/%zz/active"],
    ["POST", "/machines//drain"],
  ])("%s %s is not found", async (method, path) => {
    const { ask } = await start();
    const answer = await ask(method, path);
    expect(answer.status).toBe(404);
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(answer.text).toBe('{"error":"Not found"}');
  });

  it.each(["+5", "-5", "0005", "2147483647", "-2147483648"])("takes the build id %s", async (id) => {
    const { ask, calls } = await start();
    expect(await ask("GET", `/status/build/${id}/active`)).toMatchObject({
      status: 200,
      text: '{"active":false}',
    });
    expect(calls).toEqual([["isBuildActive", Number(id)]]);
  });

  it.each(["2147483648", "-2147483649", "1.0", "1e3", "0x1", "abc", "%20", "1%20", "--1"])(
    "does not know a build %s",
    async (id) => {
      const { ask, calls } = await start();
      expect((await ask("GET", `/status/build/${id}/active`)).status).toBe(404);
      expect(calls).toEqual([]);
    },
  );
});

describe("HEAD and caching", () => {
  it("HEAD tells what GET would send, without it", async () => {
    const { ask } = await start();
    const get = await ask("GET", "/status/machines");
    const head = await ask("HEAD", "/status/machines");
    expect(head.status).toBe(200);
    expect(head.bytes).toHaveLength(0);
    expect(head.headers["content-length"]).toBe(get.headers["content-length"]);
    expect(head.headers.etag).toBe(get.headers.etag);
    expect((await ask("HEAD", "/nope")).status).toBe(404);
  });

  it("spares clients what they have", async () => {
    const { ask } = await start();
    const { etag } = (await ask("GET", "/status/jobsets")).headers;
    expect(etag).toMatch(/^"[\w-]+"$/);
    for (const tag of [String(etag), `W/${etag}`, `"other", ${etag}`]) {
      const again = await ask("GET", "/status/jobsets", { headers: { "if-none-match": tag } });
      expect(again.status).toBe(304);
      expect(again.bytes).toHaveLength(0);
    }
    expect((await ask("GET", "/status/jobsets", { headers: { "if-none-match": '"other"' } })).status).toBe(
      200,
    );
  });

  it("compresses for those who ask, and only what is worth it", async () => {
    const { ask } = await start();
    const gzip = { headers: { "accept-encoding": "br, gzip;q=0.5" } };
    const answer = await ask("GET", "/metrics", gzip);
    expect(answer.headers["content-encoding"]).toBe("gzip");
    expect(gunzipSync(answer.bytes).toString()).toContain("# TYPE hydraqueuerunner_builds_finished counter");
    expect((await ask("GET", "/status/jobsets", gzip)).headers["content-encoding"]).toBeUndefined();
    const refused = await ask("GET", "/metrics", { headers: { "accept-encoding": "gzip;q=0" } });
    expect(refused.headers["content-encoding"]).toBeUndefined();
    expect((await ask("GET", "/metrics")).headers["content-encoding"]).toBeUndefined();
  });

  it("sends long lists in pieces that make one JSON object", async () => {
    const one = recordedSource(runningRecording).source.steps()[0];
    expect(one).toBeDefined();
    const steps = Array.from({ length: 2_500 }, () => one as NonNullable<typeof one>);
    const { ask } = await start({ steps: () => steps });
    const { json, headers } = await ask("GET", "/status/steps");
    expect(json.stepCount).toBe(2_500);
    expect(json.steps).toHaveLength(2_500);
    expect(headers["content-type"]).toBe("application/json");
  });
});

describe("PUT /build", () => {
  const put = (ask: TestApi["ask"], body: string | Uint8Array) => ask("PUT", "/build", { body });

  it.each([drv, `/nix/store/${drv}`])("takes %s and tells the new id", async (path) => {
    const { ask, calls } = await start();
    expect(await put(ask, JSON.stringify({ drv: path, jobsetId: 7, more: "ignored" }))).toMatchObject({
      status: 200,
      text: '{"buildId":77}',
    });
    expect(calls).toEqual([["submitBuild", { drv, jobsetId: 7 }]]);
  });

  it.each([
    ["", "the body is empty"],
    ["{", "the body is not JSON"],
    ['{"drv":"x"} trailing', "the body is not JSON"],
    ["[1]", "the body must be a JSON object"],
    ["null", "the body must be a JSON object"],
    ['{"jobsetId":1}', "missing field 'drv'"],
    ['{"drv":3,"jobsetId":1}', "field 'drv' must be a string"],
    [JSON.stringify({ drv }), "missing field 'jobsetId'"],
    [JSON.stringify({ drv, jobsetId: "1" }), "field 'jobsetId' must be a 32-bit integer"],
    [JSON.stringify({ drv, jobsetId: 1.5 }), "field 'jobsetId' must be a 32-bit integer"],
    [JSON.stringify({ drv, jobsetId: 2 ** 31 }), "field 'jobsetId' must be a 32-bit integer"],
    [JSON.stringify({ drv: "nonsense", jobsetId: 1 }), "invalid store path"],
    [JSON.stringify({ drv: `/other/store/${drv}`, jobsetId: 1 }), "invalid store path"],
    [JSON.stringify({ drv: `../${drv}`, jobsetId: 1 }), "invalid store path"],
    [JSON.stringify({ drv: drv.slice(0, -4), jobsetId: 1 }), "not a derivation: the name must end in .drv"],
  ])("refuses %j", async (body, error) => {
    const { ask, calls } = await start();
    const answer = await put(ask, body);
    expect(answer.status).toBe(400);
    expect(answer.json).toEqual({ error });
    expect(calls).toEqual([]);
  });

  it("refuses what is not UTF-8, and bodies without end", async () => {
    const { ask } = await start();
    expect(await put(ask, Uint8Array.of(0x7b, 0xff, 0x7d))).toMatchObject({ status: 400 });
    const long = await put(ask, " ".repeat(1024 * 1024 + 1));
    expect(long.status).toBe(413);
    expect(long.headers.connection).toBe("close");
  });

  it("has a clear answer for whatever text comes", async () => {
    const { ask, calls } = await start();
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: "binary" }), fc.json()), async (body) => {
        const answer = await put(ask, body);
        expect(answer.status).toBe(400);
        expect(Object.keys(answer.json)).toEqual(["error"]);
      }),
      { numRuns: 60 },
    );
    expect(calls).toEqual([]);
  });

  it("passes on why the runner refused", async () => {
    const { ask } = await start({
      submitBuild: () => Promise.reject(new StatusError("not-found", "no jobset 7")),
    });
    const answer = await put(ask, JSON.stringify({ drv, jobsetId: 7 }));
    expect(answer).toMatchObject({ status: 404, text: '{"error":"no jobset 7"}' });
  });
});

describe("POST /build_one", () => {
  it("waits for the ingestion and answers {}", async () => {
    const { ask, calls } = await start();
    expect(await ask("POST", "/build_one", { body: '{"buildId":23}' })).toMatchObject({
      status: 200,
      text: "{}",
    });
    expect(calls).toEqual([["buildOne", 23]]);
    expect((await ask("POST", "/build_one", { body: '{"buildId":null}' })).status).toBe(400);
  });
});

describe.each(["cancel", "bump"] as const)("POST /builds/{id}/%s", (action) => {
  it("does so, and passes on why it cannot", async () => {
    const asked: number[] = [];
    const steer = async (id: number) => {
      asked.push(id);
      if (id === 8) throw new StatusError("conflict", "build 8 is finished");
    };
    const { ask } = await start({ [`${action}Build`]: steer });
    expect(await ask("POST", `/builds/7/${action}`)).toMatchObject({ status: 200, text: '{"build":7}' });
    expect(await ask("POST", `/builds/8/${action}`)).toMatchObject({
      status: 409,
      text: '{"error":"build 8 is finished"}',
    });
    for (const wrong of ["x", "1.5", "99999999999"])
      expect((await ask("POST", `/builds/${wrong}/${action}`)).status).toBe(404);
    expect((await ask("GET", `/builds/7/${action}`)).status).toBe(404);
    expect(asked).toEqual([7, 8]);
  });
});

describe("POST /log-level", () => {
  it("sets the filter, and refuses a wrong one by name", async () => {
    const logLevels = new LogLevels((text) => readLogFilter("hydra_queue_runner", text), "info");
    const { ask } = await start({ logLevels });
    const post = (filter: unknown) => ask("POST", "/log-level", { body: JSON.stringify({ filter }) });
    expect(await post("warn,database=debug")).toMatchObject({
      status: 200,
      text: '{"filter":"warn,database=debug"}',
    });
    expect(logLevels.levelOf("database")).toBe("debug");
    expect(await post("shouting")).toMatchObject({
      status: 400,
      text: expect.stringContaining("field 'filter'"),
    });
    expect(logLevels.text).toBe("warn,database=debug");
    expect((await post(7)).status).toBe(400);
  });

  it("says so where the levels are fixed", async () => {
    const { ask } = await start();
    expect((await ask("POST", "/log-level", { body: '{"filter":"info"}' })).status).toBe(409);
  });
});

describe("GET /status/steps/{drv}/why", () => {
  it("explains, with times as text", async () => {
    const { ask } = await start({
      whyNotRunning: async () => ({
        code: "unsupported",
        system: "mips64-linux",
        systemKnown: false,
        features: ["kvm"],
        missingFeatures: [],
        since: Date.UTC(2026, 10, 24, 2, 9),
        failsAt: Date.UTC(2026, 10, 24, 2, 11, 0, 500),
      }),
    });
    for (const form of [drv, encodeURIComponent(`/nix/store/${drv}`)]) {
      expect((await ask("GET", `/status/steps/${form}/why`)).json).toEqual({
        drvPath: drv,
        code: "unsupported",
        system: "mips64-linux",
        systemKnown: false,
        features: ["kvm"],
        missingFeatures: [],
        since: "2026-11-24T02:09:00Z",
        failsAt: "2026-11-24T02:11:00.5Z",
      });
    }
  });

  it("says 404 for a step that nobody knows, 400 for what is no derivation", async () => {
    const { ask } = await start();
    expect(await ask("GET", `/status/steps/${drv}/why`)).toMatchObject({ status: 404 });
    expect((await ask("GET", "/status/steps/hello/why")).status).toBe(400);
    expect((await ask("GET", `/status/steps/${drv.slice(0, -4)}/why`)).status).toBe(400);
  });
});

describe("POST /machines/{machine}/drain and resume", () => {
  it("reach a machine by host name or id", async () => {
    const { ask, calls } = await start();
    const drained = await ask("POST", "/machines/vm/drain");
    expect(drained.json.draining).toBe(true);
    const id = drained.json.machines[0];
    expect((await ask("POST", `/machines/${id}/resume`)).json).toEqual({ machines: [id], draining: false });
    expect(calls).toEqual([
      ["drain", "vm"],
      ["resume", id],
    ]);
    expect(await ask("POST", "/machines/other/drain")).toMatchObject({
      status: 404,
      text: '{"error":"no such machine"}',
    });
  });
});

describe("who may write", () => {
  const writing: [string, string, string][] = [
    ["PUT", "/build", JSON.stringify({ drv, jobsetId: 1 })],
    ["POST", "/build_one", '{"buildId":1}'],
    ["POST", "/machines/vm/drain", ""],
    ["POST", "/machines/vm/resume", ""],
  ];

  it.each(writing)("%s %s needs the token when there is one", async (method, path, body) => {
    const { ask, calls } = await start({}, { writeToken: "right" });
    for (const authorization of [
      undefined,
      "right",
      "bearer right",
      "Bearer wrong",
      "Bearer  right",
      "Bearer right2",
    ]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const answer = await ask(method, path, { body, headers });
      expect(answer).toMatchObject({ status: 401, text: '{"error":"No valid auth token"}' });
    }
    expect(calls).toEqual([]);
    const allowed = await ask(method, path, { body, headers: { authorization: "Bearer right" } });
    expect(allowed.status).toBe(200);
    expect(calls).toHaveLength(1);
  });

  it("reading stays open", async () => {
    const { ask } = await start({}, { writeToken: "right" });
    for (const path of ["/", "/status", "/metrics", "/health"])
      expect((await ask("GET", path)).status).toBe(200);
  });

  it.each(writing)("%s %s is refused to pages of other sites", async (method, path, body) => {
    const { ask, calls, port } = await start();
    for (const origin of ["https://evil.example", "null", `http://127.0.0.1:${port + 1}`]) {
      expect((await ask(method, path, { body, headers: { origin } })).status).toBe(403);
    }
    expect(calls).toEqual([]);
    const own = await ask(method, path, { body, headers: { origin: `http://127.0.0.1:${port}` } });
    expect(own.status).toBe(200);
  });
});

describe("health", () => {
  const problem = {
    part: "uploads",
    code: "upload-failing",
    subject: "bucket",
    reason: "connection refused",
    advice: "check the store",
    since: Date.UTC(2026, 7, 1, 9, 30),
  } as const;

  it("is 503 while something does not work, and says what, since when, why, and what to do", async () => {
    const { ask } = await start(
      { health: () => ({ state: "active", problems: [problem], queueLoaded: true, canRecord: true }) },
      { version: "1.2.3" },
    );
    expect(await ask("GET", "/health")).toMatchObject({ status: 503 });
    expect((await ask("GET", "/health")).json).toEqual({
      status: "degraded",
      state: "active",
      version: "1.2.3",
      problems: [{ ...problem, since: "2026-08-01T09:30:00Z" }],
    });
    const { text } = await ask("GET", "/metrics");
    expect(text).toContain('hydraqueuerunner_problem{part="uploads"} 1\n');
    expect(text).toContain('hydraqueuerunner_problem{part="database"} 0\n');
    expect(text).toContain(
      'hydraqueuerunner_problem_since_timestamp{part="uploads",code="upload-failing",subject="bucket"} 1785576600\n',
    );
  });

  it("keeps a runner that cannot record anything from being ready", async () => {
    const { ask } = await start({
      health: () => ({ state: "active", problems: [problem], queueLoaded: true, canRecord: false }),
    });
    expect(await ask("GET", "/ready")).toMatchObject({
      status: 503,
      json: { ready: false, canRecord: false },
    });
  });

  it.each([
    ["starting", true, 503],
    ["standby", true, 503],
    ["active", false, 503],
    ["active", true, 200],
    ["draining", true, 200],
    ["stopping", true, 503],
  ] as const)(
    "a runner that is %s (queue read: %s) answers %i to /ready",
    async (state, queueLoaded, status) => {
      const { ask } = await start({ health: () => ({ state, problems: [], queueLoaded, canRecord: true }) });
      expect((await ask("GET", "/ready")).status).toBe(status);
      expect((await ask("GET", "/health")).status).toBe(200);
    },
  );
});

describe("faults of the runner", () => {
  class OwnError extends HydraError {
    readonly code = "own";
  }

  it("are 500 and keep to themselves what others wrote", async () => {
    const lines: string[] = [];
    const logger = createLogger({ target: "t", write: (line) => lines.push(line) });
    const secret = "password authentication failed for user hydra";
    const { ask } = await start(
      {
        isBuildActive: () => Promise.reject(new Error(secret)),
        buildOne: () =>
          Promise.reject(new OwnError("the database does not answer", { cause: new Error(secret) })),
        jobsets: () => {
          throw new RangeError(secret);
        },
      },
      { logger },
    );
    expect(await ask("GET", "/status/build/1/active")).toMatchObject({
      status: 500,
      text: '{"error":"internal error"}',
    });
    expect(await ask("GET", "/status/jobsets")).toMatchObject({
      status: 500,
      text: '{"error":"internal error"}',
    });
    expect(await ask("POST", "/build_one", { body: '{"buildId":1}' })).toMatchObject({
      status: 500,
      text: '{"error":"the database does not answer"}',
    });
    expect(lines.filter((line) => line.includes(secret))).toHaveLength(3);
  });

  it("are counted by route and number, never by path", async () => {
    const { ask } = await start();
    await ask("GET", "/status/build/1/active");
    await ask("GET", "/status/build/2/active");
    await ask("GET", "/wp-admin.php");
    const { text } = await ask("GET", "/metrics");
    expect(text).toContain('http_requests_total{route="/status/build/{}/active",code="200"} 2');
    expect(text).toContain('http_requests_total{route="unknown",code="404"} 1');
    expect(text).not.toContain("wp-admin");
  });
});

it("a client that leaves in the middle of its body harms nobody", async () => {
  const { ask, port } = await start();
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write("PUT /build HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
  socket.destroy();
  await once(socket, "close");
  expect((await ask("GET", "/health")).status).toBe(200);
});

it("two machines with one host name both show", async () => {
  const machine = recordedSource(idleRecording).source.machines()[0];
  expect(machine).toBeDefined();
  if (machine === undefined) return;
  const info = {
    ...machine.view.info,
    id: "ffffffff-0000-4000-8000-000000000000" as typeof machine.view.info.id,
  };
  const second = { ...machine, view: { ...machine.view, info, joinedAt: machine.view.joinedAt + 1 } };
  const { ask } = await start({ machines: () => [second, machine] });
  const { json } = await ask("GET", "/status/machines");
  expect(Object.keys(json.machines)).toEqual(["vm", "vm (ffffffff)"]);
  expect(json.machines.vm.id).toBe(machine.view.info.id);
  expect(json.machinesCount).toBe(2);
});

it("says in the log what operators did, and not what was refused", async () => {
  const lines: string[] = [];
  const logger = createLogger({ target: "status", level: "info", write: (line) => void lines.push(line) });
  const { ask } = await start(
    { drainMachine: (machine) => (machine === "a" ? ["id-of-a"] : []) },
    { logger },
  );
  expect((await ask("POST", "/machines/a/drain")).status).toBe(200);
  expect((await ask("POST", "/machines/b/drain")).status).toBe(404);
  expect((await ask("GET", "/status")).status).toBe(200);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(
    "INFO status: action by the status API method=POST path=/machines/a/drain status=200",
  );
});
