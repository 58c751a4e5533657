// A builder with hooks of an embedder's own: logs, events, another way to build, another measure of the machine.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  type BuildEvent,
  BuilderClient,
  type BuilderClientOptions,
  type BuildLogChunk,
  daemonExecutor,
} from "../../lib/builder/index.js";
import { createLogger } from "../../lib/log.js";
import { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import { buildOrder } from "../support/build-order.js";
import { builderSettings, nixConfiguration } from "../support/builder-settings.js";
import { FakeRunner } from "../support/fake-runner.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { until } from "../support/until.js";

let directory: string;
let nix: TestNixStore;
let builderNix: TestNixStore;
let store: DaemonStore;
let builderStore: DaemonStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "builder-hooks-"));
  nix = await startNixStore({ directory, name: "runner" });
  builderNix = await startNixStore({ directory, name: "builder" });
  store = await DaemonStore.open({ remote: nix.remote, env: nix.env });
  builderStore = await DaemonStore.open({ remote: builderNix.remote, env: builderNix.env });
});

const open: BuilderClient[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

afterAll(async () => {
  await store.close();
  await builderStore.close();
  await nix.close();
  await builderNix.close();
  await rm(directory, { recursive: true, force: true });
});

async function joined(options: Partial<BuilderClientOptions>): Promise<FakeRunner> {
  const runner = new FakeRunner({ store });
  const client = new BuilderClient({
    settings: builderSettings,
    gateways: [{ address: "fake", connect: () => runner.connect() }],
    store: builderStore,
    nixConfiguration,
    spoolDirectory: directory,
    ...options,
  });
  open.push(client);
  await client.start();
  return runner;
}

let serial = 0;
const order = (script: string) =>
  buildOrder(nix, store, shellDerivation(`hooks-${process.pid}-${++serial}`, script));

test("follows logs and events of its builds, and waits for the listener of logs", async () => {
  const chunks: BuildLogChunk[] = [];
  const events: BuildEvent[] = [];
  let atOnce = 0;
  const runner = await joined({
    onLog: async (chunk) => {
      expect(++atOnce).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce--;
      chunks.push(chunk);
    },
    onBuild: (event) => void events.push(event),
  });
  const build = await order("for i in 1 2 3 4 5; do echo line $i; done; printf open > $out; printf rest");
  runner.send({ kind: "build", build });
  await runner.completion(build.buildId);

  const text = Buffer.concat(chunks.map(({ bytes }) => bytes)).toString();
  expect(text).toBe("line 1\nline 2\nline 3\nline 4\nline 5\nrest\n");
  expect(runner.logs.get(build.drv)).toBe(text);
  expect(new Set(chunks.map(({ drv }) => drv))).toEqual(new Set([build.drv]));
  expect(events.map((event) => (event.kind === "phase" ? event.phase : event.kind))).toEqual([
    "started",
    "sendingInputs",
    "building",
    "receivingOutputs",
    "postProcessing",
    "finished",
  ]);
  expect(events.at(-1)).toMatchObject({ kind: "finished", state: "success", error: "", drv: build.drv });
});

test("a build that is given up ends with one event", async () => {
  const events: BuildEvent[] = [];
  const runner = await joined({ onBuild: (event) => void events.push(event) });
  const build = await order("/bin/busybox sleep 1000");
  runner.send({ kind: "build", build });
  await until("the build", () =>
    events.some((event) => event.kind === "phase" && event.phase === "building"),
  );
  runner.send({ kind: "abort", buildId: build.buildId });
  await until("the end", () => events.at(-1)?.kind === "aborted");
  await open[0]?.close();
  expect(events.filter(({ kind }) => kind === "aborted" || kind === "finished")).toHaveLength(1);
});

test("hooks that fail are said once and cost no build", async () => {
  const lines: string[] = [];
  const logger = createLogger({ target: "builder", level: "warn", write: (line) => lines.push(line) });
  const runner = await joined({
    logger,
    onLog: () => Promise.reject(new Error("full")),
    onBuild: () => {
      throw new Error("broken");
    },
    sampleSystem: () => {
      throw new Error("no sensors");
    },
  });
  const build = await order("echo 1; echo 2; echo hi > $out");
  runner.send({ kind: "build", build });
  expect(await runner.completion(build.buildId)).toMatchObject({ state: "success" });
  const hooks = lines.flatMap((line) => /a hook of the builder failed.* hook=(\w+)/.exec(line)?.[1] ?? []);
  expect(hooks.toSorted()).toEqual(["onBuild", "onLog", "sampleSystem"]);
});

test("builds by an executor of one's own; what it throws is the machine's fault", async () => {
  const seen: string[] = [];
  const runner = await joined({
    executor: async (job) => {
      seen.push(job.drv);
      if (seen.length > 1) throw new Error("the remote executor is away");
      await job.log(Buffer.from("from afar"), true);
      return daemonExecutor(job);
    },
    sampleSystem: () => ({
      load: [42, 41, 40],
      memoryUsed: 7,
      pressure: undefined,
      buildDirFreePercent: 50,
      storeFreePercent: 60,
    }),
  });
  const first = await order("echo near; echo hi > $out");
  runner.send({ kind: "build", build: first });
  expect(await runner.completion(first.buildId)).toMatchObject({ state: "success" });
  expect(runner.logs.get(first.drv)).toBe("from afar\nnear\n");

  const second = await order("echo hi > $out");
  runner.send({ kind: "build", build: second });
  const { state, error } = await runner.completion(second.buildId);
  expect(state).toBe("preparingFailure");
  expect(error).toContain("the remote executor is away");
  expect(seen).toEqual([first.drv, second.drv]);
});
