// Each way into the runner that was tried by somebody who is not the builder in question, over real sockets.
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import * as http2 from "node:http2";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ContentAddress, makeFixedOutputPath } from "../../lib/nix/path/content-address.js";
import { hashBytes } from "../../lib/nix/path/hash.js";
import { defaultStoreDir, parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import { connectRunner, type RunnerClient } from "../../lib/rpc/client/index.js";
import { encodeLog, packNars } from "../../lib/rpc/index.js";
import type { BuildCompletion, BuildOrder, BuiltOutput } from "../../lib/rpc/types.js";
import { file, type Sample, sample } from "../binary-cache/samples.js";
import { answerOf, grpcHeaders } from "../rpc/support/raw.js";
import { LyingBuilder, type LyingBuilderOptions } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let folder = "";
const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-intruders-"));
  const files = ["owner", "intruder"].map((name) => join(folder, `${name}.token`));
  for (const path of files) await writeFile(path, `secret-of-${basename(path)}\n`);
  return {
    databaseUrl: await testDatabase(),
    builders: [],
    runner: { tokenPaths: files, maxRetries: 5 },
    runnerEnv: { LOG_LEVEL: "trace" },
  };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const tokens = { owner: "secret-of-owner.token", intruder: "secret-of-intruder.token" } as const;
const system = "x86_64-linux";
const otherSystem = "riscv64-linux";

async function joinAs(
  who: keyof typeof tokens,
  options: LyingBuilderOptions & { readonly system?: string } = {},
): Promise<LyingBuilder> {
  const as = { token: tokens[who], hostname: who, ...options };
  return LyingBuilder.join(pair().gatewayUrl, options.system ?? system, as);
}

function outputOf(order: BuildOrder): StorePath {
  const output = order.derivation?.outputs.get("out");
  if (output?.kind !== "inputAddressed") throw new Error("the order names no output path");
  return output.path;
}

/** Contents for the output of an order. */
function made(order: BuildOrder, text = "made\n", references: readonly StorePath[] = []): Sample {
  const { nar, info } = sample("x", file(text), [...references]);
  return { nar, info: { ...info, path: outputOf(order) } };
}

function claim({ info }: Sample): ReadonlyMap<string, BuiltOutput> {
  const { path, narSize, narHash } = info;
  return new Map([["out", { path, narSize, narHash, closureSize: narSize, nixSupport: undefined }]]);
}

function completion(
  ids: { readonly buildId: string; readonly machineId: string },
  outputs?: ReadonlyMap<string, BuiltOutput>,
): BuildCompletion {
  return {
    ...ids,
    state: outputs === undefined ? "buildFailure" : "success",
    importMs: 0,
    buildMs: 1,
    uploadMs: 0,
    outputs: outputs ?? new Map(),
    error: undefined,
  };
}

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const send = (client: RunnerClient, { info, nar }: Sample): Promise<void> =>
  client.buildResult(packNars([info], () => chunks(nar)));

const log = (client: RunnerClient, drv: StorePath): Promise<void> =>
  client.buildLog(drv, encodeLog(chunks(Buffer.from("forged log\n"))));

const isInStore = (path: StorePath): Promise<boolean> =>
  pair()
    .store.run("nix-store", ["--check-validity", `/nix/store/${path}`])
    .then(
      () => true,
      () => false,
    );

const isInCache = (path: StorePath): boolean =>
  existsSync(join(pair().cacheFolder, `${path.slice(0, 32)}.narinfo`));

let serial = 0;

const orderFor = (builder: LyingBuilder, name: string): Promise<BuildOrder> =>
  until(`the order of ${name}`, () => builder.orders.find(({ derivation }) => derivation?.name === name));

describe("while a build runs on its owner's machine", () => {
  let owner: LyingBuilder;
  let order: BuildOrder;
  let build: number;

  beforeEach(async () => {
    owner = await joinAs("owner");
    const name = `owned-${serial++}`;
    [build = 0] = await pair().build(shellDerivation(name, "echo > $out"));
    order = await orderFor(owner, name);
  });
  afterEach(async () => {
    await pair().tables.cancel([build]);
    await owner[Symbol.asyncDispose]();
    await pair().waitForBuilders(0);
  });

  /** Whatever was tried, the owner's build goes on and ends as its owner says. */
  async function ownerSucceeds(): Promise<void> {
    const output = made(order, "the owner's\n");
    await send(owner.client, output);
    await owner.succeed(order, claim(output));
    await pair().tables.waitFinished([build]);
    const { Builds, BuildSteps } = await pair().tables.rows([build]);
    expect(Builds).toMatchObject([{ buildstatus: 0 }]);
    expect(BuildSteps).toMatchObject([{ stepnr: 1, status: 0, machine: "owner" }]);
    await until("the output to be published", () => isInCache(output.info.path));
    expect(await pair().store.run("cat", [join(pair().store.realStoreDir, output.info.path)])).toBe(
      "the owner's\n",
    );
  }

  /** Every call about the build, by somebody else; `machineId` is what the calls say. */
  async function expectAllRefused(client: RunnerClient, machineId: string): Promise<void> {
    const about = { buildId: order.buildId, machineId };
    const forged = made(order, "forged\n");
    const refused = (call: Promise<unknown>) =>
      expect(call).rejects.toMatchObject({ code: "failed-precondition" });
    const update = client.buildStepUpdate({ ...about, status: "postProcessing" });
    // News of a build that its machine does not have any more may be late; it is ignored.
    if (machineId === owner.machineId) await refused(update);
    else await update;
    await refused(client.completeBuild(completion(about)));
    await refused(client.completeBuild(completion(about, claim(forged))));
    const { path, narHash, narSize } = forged.info;
    const requests = [{ path, narHash, narSize, debugInfoBuildIds: [] }];
    await refused(client.requestPresignedUrls({ ...about, requests }));
    await refused(
      client.requestMultipartParts({
        ...about,
        objectKey: "nar/x.nar",
        uploadId: "u",
        startPartNumber: 1,
        numParts: 1,
        bucket: undefined,
      }),
    );
    await refused(
      client.notifyPresignedUploadComplete({
        ...about,
        narInfo: {
          ...forged.info,
          url: "nar/x.nar",
          compression: "none",
          fileHash: narHash,
          fileSize: narSize,
        },
        multipart: undefined,
        narAlreadyPresent: true,
        bucket: undefined,
      }),
    );
    await expect(log(client, order.drv)).rejects.toMatchObject({ code: "not-found" });
    await expect(send(client, forged)).rejects.toMatchObject({
      code: expect.stringMatching(/^(permission-denied|failed-precondition)$/),
    });
    expect(await isInStore(path)).toBe(false);
  }

  it.each(["owner", "intruder"] as const)(
    "a caller with the token of the %s that never joined gets nothing and changes nothing",
    async (who) => {
      await using client = disposable(connectRunner({ endpoint: pair().gatewayUrl, token: tokens[who] }));
      if (who === "intruder") {
        const refused = { code: "failed-precondition", message: expect.stringContaining("joined") };
        await expect(client.value.fetchPaths([order.drv])).rejects.toMatchObject(refused);
        await expect(client.value.fetchRequisites([order.drv])).rejects.toMatchObject(refused);
        await expect(client.value.hasPath(order.drv)).rejects.toMatchObject(refused);
        await expectAllRefused(client.value, owner.machineId);
      } else {
        // The same token on another connection is the owner: a proxy would do that.
        expect(await client.value.hasPath(order.drv)).toBe(true);
        await expect(
          client.value.completeBuild(completion({ buildId: order.buildId, machineId: randomUUID() })),
        ).rejects.toMatchObject({ code: "failed-precondition" });
        await expect(
          client.value.completeBuild(completion({ buildId: randomUUID(), machineId: owner.machineId })),
        ).rejects.toMatchObject({ code: "failed-precondition" });
      }
      await ownerSucceeds();
    },
  );

  it("another builder can neither speak for its machine nor for itself about the build", async () => {
    await using intruder = await joinAs("intruder");
    await expectAllRefused(intruder.client, owner.machineId);
    await expectAllRefused(intruder.client, intruder.machineId);
    await ownerSucceeds();
  });

  it("another builder's own build is no reason to take the output of this one", async () => {
    await using intruder = await joinAs("intruder");
    // The owner has room, so both machines get builds.
    const ids = await pair().build(
      ...Array.from({ length: 8 }, () => shellDerivation(`more-${serial++}`, "echo > $out")),
    );
    await intruder.order(0);
    await expectAllRefused(intruder.client, intruder.machineId);
    await pair().tables.cancel(ids);
    await ownerSucceeds();
  });

  it("a machine id is taken over neither by another token nor under another host name", async () => {
    const { machineId } = owner;
    const refused = { code: "already-exists" };
    await expect(joinAs("intruder", { machineId })).rejects.toMatchObject(refused);
    await expect(joinAs("intruder", { machineId, hostname: "owner" })).rejects.toMatchObject(refused);
    await expect(joinAs("owner", { machineId, hostname: "somewhere-else" })).rejects.toMatchObject(refused);
    expect(await pair().get("/status/machines")).toMatchObject({ machinesCount: 1 });
    await ownerSucceeds();
  });

  it("its attempt's identifier is nowhere to be read", async () => {
    const routes = [
      "",
      "/machines",
      "/jobsets",
      "/builds",
      "/steps",
      "/runnable",
      "/queues",
      "/overview",
      "/queues/jobs",
    ];
    for (const route of routes) {
      const response = await fetch(`${pair().statusUrl}/status${route}`);
      expect(await response.text()).not.toContain(order.buildId);
    }
    for (const route of ["/metrics", `/status/steps/${order.drv}/why`]) {
      const response = await fetch(`${pair().statusUrl}${route}`);
      expect(response.status).toBe(200);
      expect(await response.text()).not.toContain(order.buildId);
    }
    await ownerSucceeds();
    expect(pair().runner.output()).not.toContain(order.buildId);
  });

  it("what has arrived is not believed before its owner reports it", async () => {
    await using intruder = await joinAs("intruder");
    const output = made(order, "the owner's\n");
    const { path } = output.info;
    await send(owner.client, output);
    expect(await isInStore(path)).toBe(true);
    expect(await owner.client.hasPath(path)).toBe(true);
    expect(await intruder.client.hasPath(path)).toBe(false);
    expect(await intruder.client.fetchRequisites([path])).toEqual([]);
    await expect(intruder.client.fetchPaths([path])).rejects.toMatchObject({ code: "not-found" });
    expect(isInCache(path)).toBe(false);
    await ownerSucceeds();
    expect(await intruder.client.hasPath(path)).toBe(true);
  });

  it("what a lost builder has sent is not believed either, nor after the runner was killed", async () => {
    const forged = made(order, "forged\n");
    const { path } = forged.info;
    await send(owner.client, forged);
    await owner[Symbol.asyncDispose]();
    await pair().waitForBuilders(0);
    await pair().runner.kill();
    await pair().startRunner();
    owner = await until("the port of the builders", () => joinAs("owner").catch(() => undefined));
    const name = order.derivation?.name ?? "";
    order = await orderFor(owner, name);
    expect(outputOf(order)).toBe(path);
    expect(await isInStore(path)).toBe(true);
    expect(await owner.client.hasPath(path)).toBe(false);
    // The next execution gives other contents, and those are what everybody gets.
    const output = made(order, "the owner's\n");
    await send(owner.client, output);
    await owner.succeed(order, claim(output));
    await pair().tables.waitFinished([build]);
    expect((await pair().tables.rows([build])).Builds).toMatchObject([{ buildstatus: 0, iscachedbuild: 0 }]);
    expect(await pair().store.run("cat", [join(pair().store.realStoreDir, path)])).toBe("the owner's\n");
  });

  it("only paths that follow from their contents may come besides outputs", async () => {
    const contents = Buffer.from("addressed\n");
    const { nar, info } = sample("x", file(contents));
    const name = `addressed-${serial++}`;
    const otherBytes = Buffer.from("other\n");
    const otherNar = sample("x", file(otherBytes)).nar;
    const kinds = [
      ["flat", "sha256", contents, otherBytes],
      ["flat", "sha1", contents, otherBytes],
      ["nixArchive", "sha256", nar, otherNar],
      ["nixArchive", "sha512", nar, otherNar],
      ["text", "sha256", contents, otherBytes],
    ] as const;
    for (const [index, [method, algorithm, right, wrong]] of kinds.entries()) {
      const ca: ContentAddress = { method, hash: hashBytes(algorithm, right) };
      const other: ContentAddress = { method, hash: hashBytes(algorithm, wrong) };
      const pathOf = (address: ContentAddress): StorePath =>
        makeFixedOutputPath(defaultStoreDir, `${name}-${index}`, address);
      const sendAs = (path: StorePath, address: ContentAddress | undefined): Promise<void> =>
        send(owner.client, { nar, info: { ...info, path, ca: address } });
      // No address, or one that does not give the path.
      for (const lie of [undefined, other]) {
        await expect(sendAs(pathOf(ca), lie)).rejects.toMatchObject({ code: "permission-denied" });
      }
      // An address that gives the path, but is not that of the contents: the daemon recomputes it.
      await expect(sendAs(pathOf(other), other)).rejects.toThrow("hash mismatch");
      expect(await isInStore(pathOf(other))).toBe(false);
      await sendAs(pathOf(ca), ca);
      expect(await isInStore(pathOf(ca))).toBe(true);
    }
    await ownerSucceeds();
  });

  it("an output that refers to an unproven path of another build is not taken", async () => {
    await using intruder = await joinAs("intruder");
    const ids = await pair().build(
      ...Array.from({ length: 8 }, () => shellDerivation(`below-${serial++}`, "echo > $out")),
    );
    const below = made(await intruder.order(0), "below\n");
    await send(intruder.client, below);
    const above = made(order, "above\n", [below.info.path]);
    await expect(send(owner.client, above)).rejects.toMatchObject({ code: "permission-denied" });
    await pair().tables.cancel(ids);
    await ownerSucceeds();
  });
});

describe("a join that claims builds", () => {
  it("gets none that the runner did not give to that machine", async () => {
    const drvs = await pair().instantiate(
      shellDerivation(`claimed-${serial++}`, "echo > $out"),
      shellDerivation(`foreign-${serial++}`, "echo > $out").replace(
        "builtins.currentSystem",
        `"${otherSystem}"`,
      ),
    );
    const ids = await pair().tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair().jobsetId })));
    const running = drvs.map((drv) => ({
      buildId: randomUUID(),
      drv: parseStorePath(basename(drv)),
      ageMs: 1000,
    }));
    await using intruder = await joinAs("intruder", { running, system: "aarch64-linux" });
    await until("the claims to be refused", () => intruder.aborts.length === 2);
    expect([...intruder.aborts].sort()).toEqual(running.map(({ buildId }) => buildId).sort());
    expect(await pair().tables.busySteps()).toEqual([]);
    await pair().tables.cancel(ids);
  });

  it("gets no build whose attempt has ended, also with the identifier of that attempt", async () => {
    const name = `ended-${serial++}`;
    const [first = 0] = await pair().build(shellDerivation(name, "echo > $out"));
    const before = await joinAs("owner");
    const { buildId, drv } = await orderFor(before, name);
    await before.client.completeBuild(completion({ buildId, machineId: before.machineId }));
    await pair().tables.waitFinished([first]);
    await before[Symbol.asyncDispose]();
    await pair().waitForBuilders(0);
    // The same machine, and the same step, which is wanted again.
    await pair().tables.client.query("delete from failedpaths");
    const [second = 0] = await pair().build(shellDerivation(name, "echo > $out"));
    await until("the step", async () =>
      (await fetch(`${pair().statusUrl}/status/runnable`)).text().then((text) => text.includes(name)),
    );
    const running = [{ buildId, drv, ageMs: 1000 }];
    await using again = await joinAs("owner", { running, machineId: before.machineId });
    await until("the claim to be refused", () => again.aborts.includes(buildId));
    const order = await orderFor(again, name);
    expect(order.buildId).not.toBe(buildId);
    await pair().tables.cancel([second]);
  });

  it("gets no build of another machine, also with the attempt's own identifier", async () => {
    const owner = await joinAs("owner");
    const name = `stolen-${serial++}`;
    const [id = 0] = await pair().build(shellDerivation(name, "echo > $out"));
    const { buildId, drv } = await orderFor(owner, name);
    const claimed = [{ buildId, drv, ageMs: 1000 }];
    {
      await using intruder = await joinAs("intruder", { running: claimed });
      await until("the claim to be refused", () => intruder.aborts.includes(buildId));
      await using twin = await joinAs("owner", { running: claimed, hostname: "twin" });
      await until("the claim to be refused", () => twin.aborts.includes(buildId));
      // The row is written beside the order.
      const { machine } = await pair().tables.waitBusy(id, 1);
      expect(machine).toBe("owner");
    }
    await pair().tables.cancel([id]);
    await owner[Symbol.asyncDispose]();
  });
});

function disposable(client: RunnerClient): { readonly value: RunnerClient } & AsyncDisposable {
  return { value: client, [Symbol.asyncDispose]: () => client.close() };
}

describe("a peer without a token", () => {
  it("does not fill the log with refused calls that it names itself", async () => {
    const session = http2.connect(pair().gatewayUrl);
    session.on("error", () => {});
    for (let count = 0; count < 500; count++) {
      const path = `/runner.v1.RunnerService/Call${count}`;
      const { trailers, headers } = await answerOf(session.request({ ...grpcHeaders, ":path": path }));
      expect(trailers["grpc-status"] ?? headers["grpc-status"]).toBe("16");
    }
    session.destroy();
    const lines =
      pair()
        .runner.output()
        .match(/call without valid token/g) ?? [];
    expect(lines.length).toBeLessThan(60);
    expect(lines.length).toBeGreaterThan(0);
  });
});
