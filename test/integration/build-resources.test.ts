// What a build used, against a build that counts for itself: by samples of the processes of a real Nix daemon.
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BuilderClient } from "../../lib/builder/index.js";
import { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import type { BuildCompletion } from "../../lib/rpc/types.js";
import { buildOrder } from "../support/build-order.js";
import { builderSettings, nixConfiguration } from "../support/builder-settings.js";
import { FakeRunner } from "../support/fake-runner.js";
import { expectRight, knownBuild, truthOf } from "../support/known-build.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { diskFolder } from "../support/temporary-folder.js";

let directory: string;
let nix: TestNixStore;
let builderNix: TestNixStore;
let store: DaemonStore;
let builderStore: DaemonStore;

beforeAll(async () => {
  // Bytes that are read and written are counted where there is a disk below.
  directory = await mkdtemp(join(diskFolder(), "build-resources-"));
  const extraConf = knownBuild.nixConf;
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

async function joined(measureBuilds: boolean, of: DaemonStore = builderStore): Promise<FakeRunner> {
  const runner = new FakeRunner({ store });
  const client = new BuilderClient({
    settings: { ...builderSettings, measureBuilds },
    gateways: [{ address: "fake", connect: () => runner.connect() }],
    store: of,
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
    const completion = await report(runner, knownBuild.script, knownBuild.attributes);
    expect(completion.error).toBeUndefined();
    const truth = await truthOf(builderNix, completion.outputs.get("out")?.path ?? "");
    const { resources } = completion;
    expect(resources?.source).toBe("samples");
    expectRight(resources ?? {}, truth);
  }, 180_000);

  test("is not measured when the builder's settings say so", async () => {
    const runner = await joined(false);
    const completion = await report(runner, "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo > $out");
    expect(completion.state).toBe("success");
    expect(completion.resources).toBeUndefined();
  }, 60_000);

  test("is what a newer daemon with control groups says of it", async ({ skip }) => {
    const nixConf = `${knownBuild.nixConf}\nextra-experimental-features = cgroups\nuse-cgroups = true`;
    const newer = await startNixStore({ directory, name: "newer", extraConf: nixConf });
    const newerStore = await DaemonStore.open({ remote: newer.remote, env: newer.env });
    try {
      const { minor, nixVersion } = newerStore.server;
      if (minor < 37) skip(`Nix ${nixVersion} speaks protocol 1.${minor}; 1.37 tells CPU times`);
      const runner = await joined(true, newerStore);
      const completion = await report(runner, knownBuild.script, knownBuild.attributes);
      expect(completion.error).toBeUndefined();
      const truth = await truthOf(newer, completion.outputs.get("out")?.path ?? "");
      const { resources } = completion;
      expectRight(resources ?? {}, truth);
      // A build of a second or less is over before anyone looks at it; what the daemon says is there all the same.
      const short = await report(runner, "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo > $out");
      expect(short.resources).toMatchObject({ source: "daemon", cpuUserMs: expect.any(Number) });
    } finally {
      for (const client of open.splice(0)) await client.close();
      await newerStore.close();
      await newer.close();
    }
  }, 180_000);
});
