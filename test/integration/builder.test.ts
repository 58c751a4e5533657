// A builder with a real Nix daemon, and a runner that is a store and a notebook.
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BuilderClient, type BuilderClientOptions } from "../../lib/builder/index.js";
import { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import type { StorePath } from "../../lib/nix/path/store-path.js";
import { RpcError } from "../../lib/rpc/index.js";
import type { BuildOrder, PresignedNar, PresignedUpload, PresignedUrlsRequest } from "../../lib/rpc/types.js";
import { buildOrder, buildOrders } from "../support/build-order.js";
import { builderSettings, nixConfiguration } from "../support/builder-settings.js";
import { FakeRunner, type FakeRunnerOptions } from "../support/fake-runner.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { startObjectServer } from "../support/object-server.js";

let directory: string;
let runnerNix: TestNixStore;
let builderNix: TestNixStore;
let runnerStore: DaemonStore;
let builderStore: DaemonStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "builder-"));
  runnerNix = await startNixStore({ directory, name: "runner" });
  builderNix = await startNixStore({ directory, name: "builder" });
  runnerStore = await DaemonStore.open({ remote: runnerNix.remote, env: runnerNix.env });
  builderStore = await DaemonStore.open({ remote: builderNix.remote, env: builderNix.env });
});

afterAll(async () => {
  await runnerStore.close();
  await builderStore.close();
  await runnerNix.close();
  await builderNix.close();
  await rm(directory, { recursive: true, force: true });
});

const open: BuilderClient[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

async function joined(
  runnerOptions: FakeRunnerOptions = {},
  options: Partial<BuilderClientOptions> = {},
): Promise<{ runner: FakeRunner; client: BuilderClient }> {
  const runner = new FakeRunner({ store: runnerStore, ...runnerOptions });
  const client = new BuilderClient({
    settings: builderSettings,
    gateways: [{ address: "fake", connect: () => runner.connect() }],
    store: builderStore,
    nixConfiguration,
    spoolDirectory: directory,
    reconnectDelayMs: { first: 5, longest: 20 },
    ...options,
  });
  open.push(client);
  await client.start();
  return { runner, client };
}

const orderFor = (expression: string, changes: Partial<BuildOrder> = {}) =>
  buildOrder(runnerNix, runnerStore, expression, changes);

let serial = 0;
/** A derivation that nobody has built before. */
function fresh(script: string, attributes = ""): string {
  return shellDerivation(`test-${process.pid}-${++serial}`, script, attributes);
}

const sleep = "/bin/busybox sleep 1000";

describe("a build that succeeds", () => {
  test("brings its inputs, streams its log and its outputs, and is reported last", async () => {
    const { runner, client } = await joined();
    const name = `input-${process.pid}-${++serial}`;
    const order = await orderFor(
      `let i = ${shellDerivation(name, "echo input > $out")}; in ${fresh(
        "read x < $i; echo got $x; echo $i > $out; echo text > $doc",
        'i = i; outputs = [ "out" "doc" ];',
      )}`,
    );
    runner.send({ kind: "build", build: order });
    const completion = await runner.completion(order.buildId);

    expect(completion).toMatchObject({ machineId: client.machineId, state: "success", error: undefined });
    expect([...completion.outputs.keys()]).toEqual(["doc", "out"]);
    expect(runner.logs.get(order.drv)).toBe("got input\n");
    const [input = ""] = order.derivation?.inputSources ?? [];
    expect(runner.fetched).toEqual([input]);
    const paths = [...completion.outputs.values()].map((output) => output.path);
    expect(new Set(runner.received)).toEqual(new Set(paths));
    expect(await runnerStore.queryValidPaths(paths)).toEqual(new Set(paths));
    // What came from the runner is not asked for again.
    expect(runner.calls).not.toContain("hasPath");
    expect(runner.calls.at(-1)).toBe("completeBuild");
    const out = completion.outputs.get("out");
    const inputInfo = await builderStore.queryPathInfo(input as StorePath);
    expect(out?.closureSize).toBe((out?.narSize ?? 0) + (inputInfo?.narSize ?? 0));
    expect(out?.narHash).toEqual((await runnerStore.queryPathInfo(out?.path as StorePath))?.narHash);
    await client.close({ drain: true });
    expect(client.counters()).toMatchObject({ buildsStarted: 1, activeBuilds: 0, reports: { success: 1 } });
  });

  test("without log lines has an empty log, and an output that exists is not sent again", async () => {
    const { runner } = await joined();
    const order = await orderFor(fresh("/bin/busybox head -c 100000 /dev/zero > $out"));
    runner.send({ kind: "build", build: order });
    await runner.completion(order.buildId);
    expect(runner.logs.get(order.drv)).toBe("");

    const again = { ...order, buildId: randomUUID() };
    runner.send({ kind: "build", build: again });
    expect(await runner.completion(again.buildId)).toMatchObject({ state: "success" });
    expect(runner.calls.filter((call) => call === "buildResult")).toHaveLength(1);
  });

  test("says in its log which lines of nix-support were ignored, after its own text", async () => {
    const { runner } = await joined();
    const order = await orderFor(
      fresh(
        'b=/bin/busybox; $b mkdir -p $out/nix-support; printf "size 3\\n\\377 4\\n" > $out/nix-support/hydra-metrics; echo "doc none x.txt" > $out/nix-support/hydra-build-products; printf unfinished',
      ),
    );
    runner.send({ kind: "build", build: order });
    const completion = await runner.completion(order.buildId);
    expect(completion.outputs.get("out")?.nixSupport?.metrics).toMatchObject([{ name: "size", value: 3 }]);
    expect(runner.logs.get(order.drv)?.split("\n")).toEqual([
      "unfinished",
      "hydra-builder: ignored nix-support/hydra-metrics, line 2: not UTF-8 text",
      "hydra-builder: ignored nix-support/hydra-build-products, line 1: the path is relative",
      "",
    ]);
  });

  test("reports what its nix-support folder says", async () => {
    const { runner } = await joined();
    const order = await orderFor(
      fresh(
        'b=/bin/busybox; $b mkdir -p $out/nix-support; echo hi > $out/x.txt; echo "doc none $out/x.txt" > $out/nix-support/hydra-build-products; echo "size 3 KiB" > $out/nix-support/hydra-metrics; echo rel-1 > $out/nix-support/hydra-release-name; echo > $out/nix-support/failed',
      ),
    );
    runner.send({ kind: "build", build: order });
    const { outputs } = await runner.completion(order.buildId);
    expect(outputs.get("out")?.nixSupport).toMatchObject({
      failed: true,
      releaseName: "rel-1",
      metrics: [{ name: "size", value: 3, unit: "KiB" }],
      products: [{ type: "doc", subtype: "none", name: "x.txt", isRegular: true, fileSize: 3 }],
    });
  });

  test("of a floating content-addressed derivation finds its output", async () => {
    const { runner } = await joined();
    const order = await orderFor(
      fresh(
        "echo floating > $out",
        '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";',
      ),
    );
    runner.send({ kind: "build", build: order });
    const { state, outputs } = await runner.completion(order.buildId);
    expect(state).toBe("success");
    expect(outputs.get("out")?.path).toMatch(/-test-/);
  });

  test("keeps its inputs and outputs through a garbage collection", async () => {
    const { runner } = await joined();
    const input = shellDerivation(`rooted-${process.pid}-${++serial}`, "echo rooted > $out");
    const order = await orderFor(
      `let i = ${input}; in ${fresh("echo the build has started; /bin/busybox sleep 2; read x < $i; echo $x > $out", "i = i;")}`,
    );
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    await builderNix.run("nix-store", ["--gc"]);
    // The outputs are still there when the runner begins to take them.
    runner.onCall = async (name) => {
      if (name === "buildResult") await builderNix.run("nix-store", ["--gc"]);
    };
    expect(await runner.completion(order.buildId)).toMatchObject({ state: "success", error: undefined });
    expect(runner.received).toHaveLength(1);
  });

  test("tells the phases that last, the last of several quick ones, and nothing after its report", async () => {
    const { runner } = await joined();
    const phases = (): string[] => runner.updates.map((update) => update.status);
    const order = await orderFor(fresh("/bin/busybox sleep 2; echo slow > $out"));
    runner.send({ kind: "build", build: order });
    await runner.completion(order.buildId);
    // On a busy machine what comes before it may last as well.
    expect(phases().filter((phase) => phase !== "sendingInputs")[0]).toBe("building");
    const quick = await orderFor(fresh("echo quick > $out"));
    const before = phases().length;
    runner.send({ kind: "build", build: quick });
    await runner.completion(quick.buildId);
    const after = phases().length;
    await delay(200);
    expect(phases()).toHaveLength(after);
    const allPhases = ["sendingInputs", "building", "receivingOutputs", "postProcessing"];
    const told = phases().slice(before);
    expect(told).toEqual(allPhases.filter((phase) => told.includes(phase)));
    expect(new Set(runner.updates.map((update) => update.machineId)).size).toBe(1);
  });

  test("shows its log while it runs", async () => {
    const { runner } = await joined();
    const order = await orderFor(fresh(`echo first line; ${sleep}`));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "first line\n");
    runner.send({ kind: "abort", buildId: order.buildId });
  });
});

describe("a build that fails", () => {
  async function outcome(script: string, changes: Partial<BuildOrder> = {}) {
    const { runner } = await joined();
    const order = await orderFor(fresh(script), changes);
    runner.send({ kind: "build", build: order });
    return { runner, order, completion: await runner.completion(order.buildId) };
  }

  test("by itself", async () => {
    const { runner, order, completion } = await outcome("echo oops; exit 3");
    expect(completion).toMatchObject({ state: "buildFailure", error: `${order.drv} failed; see the log` });
    expect(completion.outputs.size).toBe(0);
    expect(runner.logs.get(order.drv)).toBe("oops\n");
    expect(runner.calls).not.toContain("buildResult");
  });

  test("by taking too long", async () => {
    const { completion } = await outcome(sleep, { buildTimeout: 1 });
    expect(completion.state).toBe("timedOut");
  });

  test("by being silent", async () => {
    const { completion } = await outcome(`echo once; ${sleep}`, { maxSilentTime: 1 });
    expect(completion.state).toBe("timedOut");
  });

  test("by its log", async () => {
    const { completion } = await outcome("while :; do echo 0123456789abcdef; done", { maxLogSize: 100_000 });
    expect(completion.state).toBe("logLimit");
  });

  test("by the size of an output", async () => {
    const { runner, completion } = await outcome("echo 0123456789 > $out", { maxOutputSize: 100 });
    expect(completion).toMatchObject({
      state: "narSizeLimit",
      error: expect.stringContaining("100 allowed"),
    });
    expect(runner.calls).not.toContain("buildResult");
  });

  test("for want of a derivation", async () => {
    const { completion } = await outcome("echo > $out", { derivation: undefined });
    expect(completion.state).toBe("preparingFailure");
  });

  test("because this machine cannot build it", async () => {
    const { runner } = await joined();
    const order = await orderFor(fresh("echo > $out"));
    const derivation = order.derivation && { ...order.derivation, system: "sparc-solaris" as never };
    runner.send({ kind: "build", build: { ...order, derivation } });
    expect((await runner.completion(order.buildId)).state).toBe("preparingFailure");
  });

  test("because the runner does not give its inputs", async () => {
    const { runner } = await joined();
    const order = await orderFor(
      `let i = ${shellDerivation(`input-${process.pid}-${++serial}`, "echo input > $out")}; in ${fresh("echo $i > $out", "i = i;")}`,
    );
    runner.onCall = (name) => {
      if (name === "fetchPaths") throw new RpcError("internal", "no disk");
    };
    runner.send({ kind: "build", build: order });
    expect(await runner.completion(order.buildId)).toMatchObject({
      state: "importFailure",
      error: "could not get the inputs: no disk",
    });
  });

  test("because the runner does not take its outputs", async () => {
    const { runner } = await joined();
    const order = await orderFor(fresh("echo > $out"));
    runner.onCall = (name) => {
      if (name === "buildResult") throw new RpcError("internal", "no disk");
    };
    runner.send({ kind: "build", build: order });
    expect((await runner.completion(order.buildId)).state).toBe("uploadFailure");
  });

  test("is tried again by the runner when its success could not be reported", async () => {
    const { runner } = await joined();
    const order = await orderFor(fresh("echo > $out"));
    let calls = 0;
    runner.onCall = (name) => {
      if (name === "completeBuild" && ++calls === 1) throw new RpcError("internal", "database");
    };
    runner.send({ kind: "build", build: order });
    expect((await runner.completion(order.buildId)).state).toBe("postProcessingFailure");
  });
});

describe("orders", () => {
  test("an aborted build ends, and nothing is reported", async () => {
    const { runner, client } = await joined();
    const order = await orderFor(fresh(`echo the build has started; ${sleep}`));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    runner.send({ kind: "abort", buildId: order.buildId });
    // The same derivation again has to wait for the daemon's lock, which the first build holds until it is gone.
    const next = { ...order, buildId: randomUUID(), buildTimeout: 1 };
    runner.send({ kind: "build", build: next });
    expect((await runner.completion(next.buildId)).state).toBe("timedOut");
    expect(runner.completions.map((completion) => completion.buildId)).toEqual([next.buildId]);
    expect(client.counters().buildsAborted).toBe(1);
  });

  test("two for one derivation share its build, and both are answered", async () => {
    const { runner, client } = await joined();
    const order = await orderFor(fresh("echo this is built once; /bin/busybox sleep 1; echo > $out"));
    const second = { ...order, buildId: randomUUID() };
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "this is built once\n");
    runner.send({ kind: "build", build: second });
    expect(await runner.completion(order.buildId)).toMatchObject({ state: "success" });
    expect(await runner.completion(second.buildId)).toMatchObject({ state: "success" });
    expect(client.counters()).toMatchObject({ buildsStarted: 1, ordersShared: 1 });
  });

  test("more than can be held are refused at once", async () => {
    const { runner } = await joined({}, { maxActiveBuilds: 1 });
    const first = await orderFor(fresh(sleep));
    const second = await orderFor(fresh("echo > $out"));
    runner.send({ kind: "build", build: first });
    runner.send({ kind: "build", build: second });
    expect(await runner.completion(second.buildId)).toMatchObject({ state: "preparingFailure" });
    expect(runner.logs.has(second.drv)).toBe(false);
  });

  test("a build whose report waits for its answer holds no place", async () => {
    const { runner } = await joined({}, { maxActiveBuilds: 1 });
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let reports = 0;
    runner.onCall = (name) => (name === "completeBuild" && ++reports === 1 ? answered : undefined);
    const first = await orderFor(fresh("echo > $out"));
    const second = await orderFor(fresh("echo > $out"));
    runner.send({ kind: "build", build: first });
    await runner.until(() => runner.calls.includes("completeBuild"));
    runner.send({ kind: "build", build: second });
    expect(await runner.completion(second.buildId)).toMatchObject({ state: "success" });
    answer();
    expect(await runner.completion(first.buildId)).toMatchObject({ state: "success" });
  });

  test("forty at once are all carried out, although a daemon lets few connections wait", async () => {
    const { runner } = await joined({}, { maxActiveBuilds: 100 });
    const drvs = Array.from({ length: 40 }, () => `(${fresh("echo > $out")})`);
    const orders = await buildOrders(runnerNix, runnerStore, `[ ${drvs.join(" ")} ]`);
    for (const build of orders) runner.send({ kind: "build", build });
    const completions = await Promise.all(orders.map(({ buildId }) => runner.completion(buildId)));
    expect(completions.filter(({ state }) => state !== "success")).toEqual([]);
  });

  test("two builds that need the same input fetch it once", async () => {
    const { runner } = await joined();
    const input = shellDerivation(`shared-${process.pid}-${++serial}`, "echo shared > $out");
    const order = () => orderFor(`let i = ${input}; in ${fresh("echo $i > $out", "i = i;")}`);
    const orders = [await order(), await order()];
    for (const build of orders) runner.send({ kind: "build", build });
    for (const { buildId } of orders) expect((await runner.completion(buildId)).state).toBe("success");
    expect(runner.fetched).toHaveLength(1);
  });
});

describe("the tunnel", () => {
  test("lost: builds are aborted, and the machine comes back under another id", async () => {
    const { runner, client } = await joined();
    const before = client.machineId;
    const order = await orderFor(fresh(`echo the build has started; ${sleep}`));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    runner.drop();
    await runner.until(() => runner.joins.length === 2);
    expect(runner.joins[1]?.machineId).not.toBe(before);
    expect(runner.joins.map((join) => join.running)).toEqual([undefined, undefined]);
    expect(client.counters()).toMatchObject({ activeBuilds: 0, buildsAborted: 1, tunnelsLost: 1 });
    expect(runner.completions).toEqual([]);
  });

  test("lost, with a runner that takes builders back: the build goes on and is reported after", async () => {
    const { runner, client } = await joined({ version: "1+resume" });
    const order = await orderFor(fresh("echo the build has started; /bin/busybox sleep 3; echo > $out"));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    const before = client.machineId;
    runner.drop();
    await runner.until(() => runner.joins.length === 2);
    expect(runner.joins[1]).toMatchObject({
      machineId: before,
      running: [{ buildId: order.buildId, drv: order.drv }],
    });
    expect(await runner.completion(order.buildId)).toMatchObject({ state: "success", machineId: before });
    expect(client.counters().buildsAborted).toBe(0);
  });

  test("lost, without time to come back: the builder is over", async () => {
    const { runner, client } = await joined({}, { reconnectTimeoutMs: 0 });
    runner.drop();
    expect(await client.finished).toEqual({ reason: "closed", exitCode: 0, error: undefined });
  });

  test("silent for too long: counts as lost", async () => {
    const { runner, client } = await joined({}, { silenceLimitMs: 50 });
    await runner.until(() => runner.joins.length === 2);
    expect(client.counters().tunnelsLost).toBeGreaterThan(0);
  });

  test("refused for its version: exit code 65", async () => {
    const runner = new FakeRunner({ compatible: false });
    const client = new BuilderClient({
      settings: builderSettings,
      gateways: [{ address: "fake", connect: () => runner.connect() }],
      store: builderStore,
      nixConfiguration,
    });
    await expect(client.start()).rejects.toMatchObject({ code: "incompatible-version" });
    expect((await client.finished).exitCode).toBe(65);
  });

  test("not there yet: every gateway is tried until one answers", async () => {
    const runner = new FakeRunner({ store: runnerStore });
    let tries = 0;
    const { client } = await joined(
      {},
      {
        gateways: [
          { address: "dead", connect: () => Promise.reject(new RpcError("unavailable", "nobody there")) },
          {
            address: "late",
            connect: () => {
              if (++tries < 3) throw new RpcError("unavailable", "not yet");
              return runner.connect();
            },
          },
        ],
      },
    );
    expect(runner.joins).toHaveLength(1);
    expect(client.counters().connected).toBe(true);
    await runner.until(() => runner.pings.length > 0);
    expect(runner.pings[0]).toMatchObject({ machineId: client.machineId });
  });
});

describe("new settings", () => {
  const settings = { ...builderSettings, maxJobs: 7, load1Threshold: 3, mandatoryFeatures: ["big"] };
  const announced = { maxJobs: 7, load1Threshold: 3, mandatoryFeatures: ["big"] };

  test("are told to a runner that takes builders back, and builds go on", async () => {
    const { runner, client } = await joined({ version: "1+resume" });
    const order = await orderFor(fresh("echo the build has started; /bin/busybox sleep 3; echo > $out"));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    expect(client.reload(settings)).toBe("now");
    await runner.until(() => runner.joins.length === 2);
    expect(runner.joins[1]).toMatchObject({ ...announced, machineId: runner.joins[0]?.machineId });
    expect(runner.joins[1]?.running).toMatchObject([{ buildId: order.buildId }]);
    expect((await runner.completion(order.buildId)).state).toBe("success");
    expect(client.counters()).toMatchObject({ buildsAborted: 0, tunnelsLost: 0, tunnelsOpened: 2 });
  });

  test("wait for another runner's next connection while something is built for it", async () => {
    const { runner, client } = await joined();
    const order = await orderFor(fresh("echo the build has started; /bin/busybox sleep 3; echo > $out"));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    expect(client.reload(settings)).toBe("later");
    expect((await runner.completion(order.buildId)).state).toBe("success");
    expect(runner.joins).toHaveLength(1);
    runner.drop();
    await runner.until(() => runner.joins.length === 2);
    expect(runner.joins[1]).toMatchObject(announced);
  });

  test("of an idle builder are told at once", async () => {
    const { runner, client } = await joined();
    expect(client.reload(settings)).toBe("now");
    await runner.until(() => runner.joins.length === 2);
    expect(runner.joins[1]).toMatchObject(announced);
    const order = await orderFor(fresh("echo > $out"));
    runner.send({ kind: "build", build: order });
    expect((await runner.completion(order.buildId)).state).toBe("success");
  });
});

describe("closing", () => {
  test("with drain lets a running build end and be reported, and refuses new ones", async () => {
    const { runner, client } = await joined({}, { settings: { ...builderSettings, pingInterval: 0.05 } });
    const order = await orderFor(fresh("echo the build has started; /bin/busybox sleep 1; echo > $out"));
    const late = await orderFor(fresh("echo > $out"));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    const closing = client.close({ drain: true });
    runner.send({ kind: "build", build: late });
    expect((await runner.completion(late.buildId)).state).toBe("preparingFailure");
    expect((await runner.completion(order.buildId)).state).toBe("success");
    // A machine without room for builds gets no more orders.
    expect(runner.pings.at(-1)).toMatchObject({ buildDirFreePercent: 0, storeFreePercent: 0 });
    await closing;
    expect(await client.finished).toMatchObject({ reason: "closed", exitCode: 0 });
  });

  test("cuts a drain short", async () => {
    const { runner, client } = await joined();
    const order = await orderFor(fresh(`echo the build has started; ${sleep}`));
    runner.send({ kind: "build", build: order });
    await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
    const draining = client.close({ drain: true });
    await client.close();
    await draining;
    expect(runner.completions).toEqual([]);
  });
});

describe("presigned uploads", () => {
  test("bring the whole closure to the cache, references first", async () => {
    const server = await startObjectServer();
    const target = (key: string): PresignedUpload => ({
      path: key,
      url: `${server.url}/${key}`,
      compression: "zstd",
      compressionLevel: 0,
      multipart: undefined,
    });
    const presign = async ({ requests }: PresignedUrlsRequest): Promise<PresignedNar[]> =>
      requests.map(({ path, debugInfoBuildIds }) => ({
        path,
        narUrl: `nar/${path}.nar.zst`,
        narUpload: target(`nar/${path}.nar.zst`),
        lsUpload: target(`${path}.ls`),
        debugInfoUploads: debugInfoBuildIds.map((id) => target(`debuginfo/${id}`)),
        bucket: "overflow",
      }));
    try {
      const { runner } = await joined({ presign });
      const input = shellDerivation(`presigned-${process.pid}-${++serial}`, "echo input > $out");
      const debug = "lib/debug/.build-id/ab";
      const order = await orderFor(
        `let i = ${input}; in ${fresh(
          `b=/bin/busybox; $b mkdir -p $out/${debug}; echo $i > $out/link; echo x > $out/${debug}/cdef.debug; echo $out > $doc`,
          'i = i; outputs = [ "out" "doc" ];',
        )}`,
        { presigned: { uploadDebugInfo: true } },
      );
      runner.send({ kind: "build", build: order });
      const { state, error, outputs } = await runner.completion(order.buildId);
      expect({ state, error }).toEqual({ state: "success", error: undefined });
      const published = runner.published.map((upload) => upload.narInfo.path);
      expect(published).toEqual([
        order.derivation?.inputSources[0],
        outputs.get("out")?.path,
        outputs.get("doc")?.path,
      ]);
      for (const { narInfo, bucket, narAlreadyPresent } of runner.published) {
        expect({ bucket, narAlreadyPresent }).toEqual({ bucket: "overflow", narAlreadyPresent: false });
        expect(server.objects.get(`/${narInfo.url}`)?.body.length).toBe(narInfo.fileSize);
        expect(server.objects.has(`/${narInfo.path}.ls`)).toBe(true);
      }
      expect(server.objects.has("/debuginfo/abcdef")).toBe(true);
      expect(runner.calls).not.toContain("buildResult");
    } finally {
      await server.close();
    }
  });

  test("that are refused make an upload failure", async () => {
    const { runner } = await joined();
    const order = await orderFor(fresh("echo > $out"), { presigned: { uploadDebugInfo: false } });
    runner.send({ kind: "build", build: order });
    expect((await runner.completion(order.buildId)).state).toBe("uploadFailure");
  });
});

describe("a builder with substituters", () => {
  test("takes inputs from there, and from the runner only what they lack", async () => {
    const cache = join(directory, "cache");
    const nix = await startNixStore({
      directory,
      name: "substituting",
      extraConf: `substituters = file://${cache}\nrequire-sigs = false`,
    });
    const store = await DaemonStore.open({ remote: nix.remote, env: nix.env });
    try {
      const settings = { ...builderSettings, useSubstitutes: true };
      const { runner } = await joined({}, { store, settings });
      const input = (name: string) => shellDerivation(`${name}-${process.pid}`, `echo ${name} > $out`);
      const order = await orderFor(
        `let a = ${input("cached")}; b = ${input("uncached")}; in ${fresh("echo $a $b > $out", "a = a; b = b;")}`,
      );
      const inputs = order.derivation?.inputSources ?? [];
      const cached = inputs.filter((path) => path.includes("-cached"));
      await runnerNix.run("nix", [
        "copy",
        "--to",
        `file://${cache}`,
        ...cached.map((path) => `/nix/store/${path}`),
      ]);
      runner.send({ kind: "build", build: order });
      expect((await runner.completion(order.buildId)).state).toBe("success");
      expect(runner.fetched).toEqual(inputs.filter((path) => !cached.includes(path)));
    } finally {
      for (const client of open.splice(0)) await client.close();
      await store.close();
      await nix.close();
    }
  });
});

test("a daemon that dies under a build is no fault of the build", async () => {
  const { runner } = await joined();
  const order = await orderFor(fresh(`echo the build has started; ${sleep}`));
  runner.send({ kind: "build", build: order });
  await runner.until(() => runner.logs.get(order.drv) === "the build has started\n");
  await builderNix.stopDaemon();
  expect((await runner.completion(order.buildId)).state).toBe("preparingFailure");
  await builderNix.startDaemon();

  const next = await orderFor(fresh("echo > $out"));
  runner.send({ kind: "build", build: next });
  expect((await runner.completion(next.buildId)).state).toBe("success");
});
