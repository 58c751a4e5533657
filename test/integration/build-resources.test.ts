// What a build used, against a build that counts for itself: by samples of the processes of a real Nix daemon.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BuilderClient } from "../../lib/builder/index.js";
import { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import type { BuildCompletion } from "../../lib/rpc/types.js";
import { buildOrder } from "../support/build-order.js";
import { builderSettings, nixConfiguration } from "../support/builder-settings.js";
import { FakeRunner } from "../support/fake-runner.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { diskFolder } from "../support/temporary-folder.js";

const mebibyte = 2 ** 20;

/** Uses CPU time, memory and disk, and leaves what it counted itself in its output. */
const knownBuild = `
const fs = require("node:fs");
const { execFileSync, spawnSync } = require("node:child_process");
const out = process.env.out;
fs.mkdirSync(out);
const busy = (end) => "let n = 0; while (process.cpuUsage().user < " + end + ") for (let i = 0; i < 1e6; i++) n += Math.sqrt(i);";
spawnSync(process.execPath, ["-e", busy(800000)], { stdio: "inherit" });
const held = Buffer.alloc(200 << 20, 1);
const file = out + "/file";
const handle = fs.openSync(file, "w");
for (let i = 0; i < 64; i++) fs.writeSync(handle, held, 0, 1 << 20);
fs.fsyncSync(handle);
fs.closeSync(handle);
execFileSync("/usr/bin/dd", ["if=" + file, "of=/dev/null", "bs=1M", "iflag=direct"], { stdio: "ignore" });
eval(busy(1500000));
setTimeout(() => {
  const stat = fs.readFileSync("/proc/self/stat", "latin1").replace(/^.*[)] /, "").split(" ").map(Number);
  const io = fs.readFileSync("/proc/self/io", "latin1");
  fs.writeFileSync(out + "/truth.json", JSON.stringify({
    cpuUserMs: 10 * (stat[11] + stat[13]),
    cpuSystemMs: 10 * (stat[12] + stat[14]),
    peakMemoryBytes: 1024 * process.resourceUsage().maxRSS,
    readBytes: Number(/^read_bytes: (.*)$/m.exec(io)[1]),
    writtenBytes: Number(/^write_bytes: (.*)$/m.exec(io)[1]),
    held: held.length,
  }));
}, 1500);
`;

let directory: string;
let nix: TestNixStore;
let builderNix: TestNixStore;
let store: DaemonStore;
let builderStore: DaemonStore;

beforeAll(async () => {
  // Bytes that are read and written are counted where there is a disk below.
  directory = await mkdtemp(join(diskFolder(), "build-resources-"));
  const extraConf = `extra-sandbox-paths = ${[...new Set(["/usr", "/lib", "/lib64", dirname(process.execPath)])].join(" ")}`;
  nix = await startNixStore({ directory, name: "runner" });
  builderNix = await startNixStore({ directory, name: "builder", extraConf });
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

async function joined(measureBuilds: boolean): Promise<FakeRunner> {
  const runner = new FakeRunner({ store });
  const client = new BuilderClient({
    settings: { ...builderSettings, measureBuilds },
    gateways: [{ address: "fake", connect: () => runner.connect() }],
    store: builderStore,
    nixConfiguration,
    spoolDirectory: directory,
  });
  open.push(client);
  await client.start();
  return runner;
}

let serial = 0;
async function report(runner: FakeRunner, script: string, attributes = ""): Promise<BuildCompletion> {
  const name = `resources-${process.pid}-${++serial}`;
  const order = await buildOrder(nix, store, shellDerivation(name, script, attributes));
  runner.send({ kind: "build", build: order });
  return runner.completion(order.buildId);
}

describe("what a build used", () => {
  test("is right within 15 % of what the build counts itself", async () => {
    const runner = await joined(true);
    const node = `${process.execPath} -e "$program"`;
    const completion = await report(runner, node, `program = ${JSON.stringify(knownBuild)};`);
    expect(completion.error).toBeUndefined();
    const path = completion.outputs.get("out")?.path ?? "";
    const truth = JSON.parse(await readFile(join(builderNix.realStoreDir, path, "truth.json"), "utf8"));
    const { resources } = completion;
    expect(truth.cpuUserMs).toBeGreaterThanOrEqual(2000);
    expect(truth.peakMemoryBytes).toBeGreaterThan(200 * mebibyte);
    expect(truth.writtenBytes).toBeGreaterThanOrEqual(64 * mebibyte);
    expect(truth.readBytes).toBeGreaterThanOrEqual(64 * mebibyte);
    expect(resources?.source).toBe("samples");
    for (const name of ["cpuUserMs", "peakMemoryBytes", "readBytes", "writtenBytes"] as const) {
      expect((resources?.[name] ?? 0) / truth[name], name).toBeGreaterThan(0.85);
      expect((resources?.[name] ?? 0) / truth[name], name).toBeLessThan(1.15);
    }
    const system = (resources?.cpuSystemMs ?? Number.NaN) - truth.cpuSystemMs;
    expect(Math.abs(system)).toBeLessThan(0.15 * (truth.cpuUserMs + truth.cpuSystemMs));
  }, 180_000);

  test("is not measured when the builder's settings say so", async () => {
    const runner = await joined(false);
    const completion = await report(runner, "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo > $out");
    expect(completion.state).toBe("success");
    expect(completion.resources).toBeUndefined();
  }, 60_000);
});
