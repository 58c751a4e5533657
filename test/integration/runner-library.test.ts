// A queue runner in a program of one's own: policies, events, logs, results and a cache, with builders in the same process.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  binaryCacheOn,
  type ObjectFacts,
  type ObjectStore,
  type PutOptions,
  type StoredObject,
  TrafficCounters,
} from "../../lib/binary-cache/index.js";
import { BuilderClient } from "../../lib/builder/index.js";
import { defineBuilderConfig, defineQueueRunnerConfig } from "../../lib/config/index.js";
import { createLogger } from "../../lib/log.js";
import { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import { connectRunner } from "../../lib/rpc/index.js";
import { type BuildFinished, QueueRunner, type RunnerEvent } from "../../lib/runner/index.js";
import { StatusError } from "../../lib/status/index.js";
import { nixConfiguration } from "../support/builder-settings.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { copyTemplate } from "../support/postgres-template.js";
import { until } from "../support/until.js";

/** An object store of one's own: a map. */
class MemoryObjects implements ObjectStore {
  readonly name = "memory";
  readonly traffic = new TrafficCounters();
  readonly keepsEncoding = true;
  readonly objects = new Map<
    string,
    { readonly bytes: Buffer; readonly contentEncoding: string | undefined }
  >();

  async head(key: string): Promise<ObjectFacts | undefined> {
    const found = this.objects.get(key);
    return found && { size: found.bytes.length, contentEncoding: found.contentEncoding };
  }

  async get(key: string): Promise<StoredObject | undefined> {
    const found = this.objects.get(key);
    if (found === undefined) return undefined;
    async function* body(bytes: Buffer): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    return { size: found.bytes.length, contentEncoding: found.contentEncoding, body: body(found.bytes) };
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, { contentEncoding }: PutOptions) {
    const parts: Uint8Array[] = [];
    if (body instanceof Uint8Array) parts.push(body);
    else for await (const part of body) parts.push(Buffer.from(part));
    this.objects.set(key, { bytes: Buffer.concat(parts), contentEncoding });
    return "written" as const;
  }

  close(): void {}
}

let folder: string;
let nix: TestNixStore;
let builderNix: TestNixStore;
let store: DaemonStore;
let builderStore: DaemonStore;
let runner: QueueRunner;
const builders: BuilderClient[] = [];
const objects = new MemoryObjects();
const lines: string[] = [];
const logs = new Map<string, string>();
const results: BuildFinished[] = [];
const events: RunnerEvent[] = [];
let mayBuild = true;
let following: Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "runner-library-"));
  await mkdir(join(folder, "hydra"));
  await copyTemplate(join(folder, "hydra"));
  nix = await startNixStore({ directory: folder, name: "runner" });
  builderNix = await startNixStore({ directory: folder, name: "builder" });
  store = await DaemonStore.open({ remote: nix.remote, env: nix.env });
  builderStore = await DaemonStore.open({ remote: builderNix.remote, env: builderNix.env });
  await nix.run("nix-store", [
    "--generate-binary-cache-key",
    "own-1",
    join(folder, "key"),
    join(folder, "key.pub"),
  ]);
  const logger = createLogger({ target: "runner", write: (line) => void lines.push(line) });
  const parameters = `compression=zstd&secret-key=${join(folder, "key")}`;
  runner = await QueueRunner.open({
    config: defineQueueRunnerConfig(
      {
        hydraDataDir: join(folder, "hydra"),
        rootsDir: join(folder, "roots"),
        dbUrl: "embedded:",
        maxDbConnections: 8,
        maxUnsupportedTimeInS: 60,
      },
      { env: {} },
    ),
    store,
    grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
    logger,
    // The slower one first, one job at a time, and by the last letter of the name backwards.
    machineOrder: ({ info }) => -info.speedFactor,
    machineFree: ({ jobs }) => mayBuild && jobs < 1,
    stepOrder: (a, b) => (a.name < b.name ? 1 : a.name > b.name ? -1 : 0),
    onLog: async ({ drv, offset, bytes }) => {
      await new Promise((resolve) => setImmediate(resolve));
      const before = offset === 0 ? "" : (logs.get(drv) ?? "");
      logs.set(drv, before + Buffer.from(bytes).toString());
    },
    onResult: async (result) => {
      await new Promise((resolve) => setImmediate(resolve));
      results.push(result);
    },
    caches: [await binaryCacheOn(objects, parameters, { storeDir: store.storeDir })],
  });
  const stream = runner.events({ limit: 10_000 });
  following = (async () => {
    for await (const event of stream) events.push(event);
  })();
  const address = runner.grpcAddress;
  if (address === undefined || typeof address === "string") throw new Error("no port");
  for (const [hostname, speedFactor] of [
    ["fast", 8],
    ["slow", 1],
  ] as const) {
    const client = new BuilderClient({
      settings: defineBuilderConfig({ speedFactor, buildDirAvailThreshold: 0, storeAvailThreshold: 0 }),
      hostname,
      gateways: [
        {
          address: "the runner",
          connect: () =>
            connectRunner({ endpoint: `http://127.0.0.1:${address.port}`, storeDir: store.storeDir }),
        },
      ],
      store: builderStore,
      nixConfiguration,
      spoolDirectory: folder,
    });
    builders.push(client);
    await client.start();
  }
  await until("both machines", () => runner.status.machines().length === 2);
});

afterAll(async () => {
  for (const client of builders) await client.close();
  await runner.close();
  await following;
  await store.close();
  await builderStore.close();
  await nix.close();
  await builderNix.close();
  await rm(folder, { recursive: true, force: true });
});

afterEach(({ task }) => {
  if (task.result?.state === "fail") process.stderr.write(`${lines.join("\n")}\n`);
});

let serial = 0;
async function derivation(name: string, script: string): Promise<string> {
  const expression = shellDerivation(`${name}-${process.pid}-${++serial}`, script);
  return (await nix.run("nix-instantiate", ["-E", expression])).trim();
}

const enqueue = (drv: string): Promise<number> => runner.enqueue({ drv, jobset: "default:default" });

async function resultOf(build: number): Promise<BuildFinished> {
  await until(`build ${build}`, () => results.some((result) => result.build === build), {
    timeoutMs: 60_000,
  });
  const result = results.find((one) => one.build === build);
  if (result === undefined) throw new Error("no result");
  return result;
}

test("builds what is enqueued, and says so to every sink", async () => {
  const drv = await derivation("good", "echo first line; echo done > $out; echo last line");
  const build = await enqueue(drv);
  expect(await resultOf(build)).toMatchObject({
    type: "buildFinished",
    project: "default",
    jobset: "default",
    status: 0,
    cached: false,
    machine: "slow",
  });
  const base = drv.slice(store.storeDir.length + 1);
  expect(logs.get(base)).toBe("first line\nlast line\n");
  const mine = events.filter((event) => "drv" in event && event.drv === base);
  expect(mine.filter(({ type }) => type !== "stepProgress").map(({ type }) => type)).toEqual([
    "stepStarted",
    "buildStarted",
    "stepFinished",
    "uploadFinished",
    "buildFinished",
    "stepRecorded",
  ]);
  expect(mine.find(({ type }) => type === "stepFinished")).toMatchObject({
    build,
    outcome: { kind: "succeeded" },
    tries: 1,
    machine: { hostname: "slow" },
    times: { buildMs: expect.any(Number) },
  });
  // Everything can be sent as JSON.
  expect(JSON.parse(JSON.stringify(mine))).toEqual(mine);

  const narInfos = [...objects.objects].filter(([key]) => key.endsWith(".narinfo"));
  expect(narInfos.map(([, { bytes }]) => bytes.toString()).join("\n")).toMatch(/Sig: own-1:/);
  expect([...objects.objects.keys()]).toContain(`log/${base}`);
  expect(runner.status.remoteStores()).toMatchObject([{ name: "memory" }]);
  expect(await runner.why(drv)).toMatchObject({ code: "finished", status: 0 });

  const journal = lines.filter((line) => line.includes(`build=${build} `));
  expect(journal.map((line) => line.slice(24).split(" build=")[0])).toEqual([
    "  INFO journal: step started",
    "  INFO journal: step succeeded",
    "  INFO journal: build finished",
  ]);
});

test("follows its own order of steps and its own rule of free machines", async () => {
  // The rule is asked again when something about a machine changes.
  const allow = async (yes: boolean): Promise<void> => {
    mayBuild = yes;
    for (const machine of ["fast", "slow"]) await runner.drain(machine);
    await runner.resume("slow");
    if (!yes) await runner.resume("fast");
  };
  await allow(false);
  const names = ["a", "c", "b"];
  const builds = [];
  for (const name of names) builds.push(await enqueue(await derivation(name, "echo > $out")));
  const waiting = runner.status.queues().flatMap(({ steps }) => steps.map(({ name }) => name.charAt(0)));
  expect(waiting).toEqual(["c", "b", "a"]);
  const [first] = runner.status.queues().flatMap(({ steps }) => steps);
  expect(await runner.why(first?.id ?? "")).toMatchObject({
    code: "machinesBusy",
    machines: [{ block: { kind: "policy" } }, { block: { kind: "policy" } }],
  });
  await allow(true);
  for (const build of builds) await resultOf(build);
  const started = events.flatMap((event) => (event.type === "stepStarted" ? [event] : []));
  expect(started.slice(-3).map(({ name }) => name.charAt(0))).toEqual(["c", "b", "a"]);
  expect(new Set(started.slice(-3).map(({ machine }) => machine.hostname))).toEqual(new Set(["slow"]));
  await runner.resume("fast");
});

test("tells of failures, and where the reason is", async () => {
  const drv = await derivation("bad", "echo it went wrong >&2; exit 3");
  const build = await enqueue(drv);
  expect(await resultOf(build)).toMatchObject({ status: 1 });
  const base = drv.slice(store.storeDir.length + 1);
  expect(events.find((event) => event.type === "stepFinished" && event.drv === base)).toMatchObject({
    outcome: { kind: "failed", status: 1, builds: 1 },
    reason: expect.stringContaining(base),
    tries: 1,
  });
  expect(logs.get(base)).toContain("it went wrong");
  expect(lines.find((line) => line.includes("journal: step failed"))).toMatch(/reason=.*status=1 builds=1$/);
});

test("cancels a build, stops what runs for it, and says so", async () => {
  const drv = await derivation("long", "/bin/busybox sleep 1000; echo > $out");
  const build = await enqueue(drv);
  const base = drv.slice(store.storeDir.length + 1);
  const cancelled = new Promise<RunnerEvent>((resolve) => {
    runner.on("stepFinished", (event) => {
      if (event.drv === base) resolve(event);
    });
  });
  await until("its start", async () => (await runner.why(drv)).code === "running");
  await runner.cancel(build);
  expect(await cancelled).toMatchObject({ outcome: { kind: "cancelled", wantedAgain: false } });
  await until("the event of the build", () =>
    events.some((event) => event.type === "buildRemoved" && event.build === build),
  );
  await runner.cancel(build);
  await expect(runner.bump(build)).rejects.toMatchObject({ code: "conflict" });
});

test("refuses what makes no sense, by a code", async () => {
  const refused = async (code: string, work: Promise<unknown>): Promise<void> => {
    const error: unknown = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(StatusError);
    expect(error).toMatchObject({ code });
  };
  const drv = await derivation("unwanted", "echo > $out");
  await refused("not-found", runner.enqueue({ drv, jobset: "no:where" }));
  await refused("not-found", runner.enqueue({ drv: `${"z".repeat(32)}-x.drv`, jobset: 1 }));
  await refused("bad-request", runner.enqueue({ drv: "/etc/passwd", jobset: 1 }));
  await refused("bad-request", runner.why("what"));
  await refused("not-found", runner.cancel(4711));
  await refused("bad-request", runner.cancel(0.5));
  await refused("not-found", runner.drain("nowhere"));
  expect(await runner.why(drv)).toEqual({ code: "unknown" });
});
