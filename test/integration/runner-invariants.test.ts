// The invariants of the runner, against builders that lie, vanish, or see it killed.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { hashBytes, printHash } from "../../lib/nix/path/hash.js";
import { defaultStoreDir, printStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import { packNars, unpackNars } from "../../lib/rpc/index.js";
import type { BuildOrder, BuiltOutput } from "../../lib/rpc/types.js";
import { build, request } from "../binary-cache/presigned-builder.js";
import { bytesOf, file, type Sample, sample, secretKey } from "../binary-cache/samples.js";
import { LyingBuilder } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { type Pair, usePair } from "../support/pair.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";

/** What a builder could have made of an order: the path is the derivation's, the contents are ours. */
function made(order: BuildOrder): Sample {
  const output = order.derivation?.outputs.get("out");
  if (output?.kind !== "inputAddressed") throw new Error("the order names no output path");
  const { nar, info } = sample("x", file("made\n"));
  return { nar, info: { ...info, path: output.path } };
}

function claim({ info }: Sample): ReadonlyMap<string, BuiltOutput> {
  const { path, narSize, narHash } = info;
  return new Map([["out", { path, narSize, narHash, closureSize: narSize, nixSupport: undefined }]]);
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const lower = shellDerivation("lower", "echo lower > $out");
const upper = shellDerivation("upper", "read x < $lower; echo $x > $out", `lower = ${lower};`);
const title = "I8: a step starts only if every input is fetchable by that builder";

/** The names of what has been ordered so far. */
const ordered = (builder: LyingBuilder) => builder.orders.map(({ derivation }) => derivation?.name);

async function joinLiar(pair: Pair): Promise<LyingBuilder> {
  const system = await pair.store.run("nix-instantiate", ["--eval", "-E", "builtins.currentSystem"]);
  return LyingBuilder.join(pair.gatewayUrl, String(JSON.parse(system)));
}

/** Tries of the step that did not count, with the reason that operators see. */
async function refused(pair: Pair, id: number): Promise<string[]> {
  const { BuildSteps } = await pair.tables.rows([id]);
  return BuildSteps.filter(({ status }) => status === 3).map(({ errormsg }) => String(errormsg));
}

describe(`${title}, from the runner`, () => {
  const pair = usePair(async () => ({
    databaseUrl: await testDatabase(),
    builders: [],
    runner: { maxRetries: 5 },
  }));

  it("a report without outputs, and one with damaged outputs, start nothing; a true one does", async () => {
    await using builder = await joinLiar(pair());
    const [id = 0] = await pair().build(upper);

    // Nothing was sent.
    const first = await builder.order(0);
    await builder.succeed(first, claim(made(first)));
    // The bytes are not those that were promised: the store does not take them.
    const second = await builder.order(1);
    const { info, nar } = made(second);
    const bent = Buffer.from(nar);
    bent[100] = (bent[100] ?? 0) ^ 1;
    const send = (bytes: Buffer) => builder.client.buildResult(packNars([info], () => one(bytes)));
    await expect(send(bent)).rejects.toThrow();
    await builder.succeed(second, claim({ info, nar }));
    // What arrived is sound, but not what is reported.
    const third = await builder.order(2);
    await send(nar);
    await builder.succeed(third, claim({ nar, info: { ...info, narSize: 7 } }));
    expect(ordered(builder)).toEqual(["lower", "lower", "lower"]);

    const fourth = await builder.order(3);
    await builder.succeed(fourth, claim({ info, nar }));
    const dependent = await builder.order(4);
    expect(dependent.derivation?.name).toBe("upper");
    const inputs = dependent.derivation?.inputSources ?? [];
    expect(inputs).toContain(info.path);
    const fetched = await builder.client.fetchPaths(inputs);
    const arrived: StorePath[] = [];
    for await (const { info: promised, nar: stream } of unpackNars(fetched)) {
      expect(hashBytes("sha256", await bytesOf(stream))).toEqual(promised.narHash);
      arrived.push(promised.path);
    }
    expect(arrived.sort()).toEqual([...inputs].sort());
    const reasons = await refused(pair(), id);
    expect(reasons).toEqual([
      expect.stringContaining("did not arrive"),
      expect.stringContaining("did not arrive"),
      expect.stringContaining("not what was reported"),
    ]);
  });
});

describe("I3: all outputs of a derivation come from one execution, in the runner's store", () => {
  const pair = usePair(async () => ({
    databaseUrl: await testDatabase(),
    builders: [],
    runner: { maxRetries: 5 },
  }));

  /** What one execution of an order with several outputs gives. */
  function execution(order: BuildOrder, number: number): Map<string, Sample> {
    return new Map(
      [...(order.derivation?.outputs ?? [])].map(([name, output]) => {
        if (output.kind !== "inputAddressed") throw new Error("the order names no output path");
        const { nar, info } = sample("x", file(`${name} of execution ${number}\n`));
        return [name, { nar, info: { ...info, path: output.path } }];
      }),
    );
  }

  function claimAll(outputs: ReadonlyMap<string, Sample>): ReadonlyMap<string, BuiltOutput> {
    return new Map([...outputs].map(([name, one]) => [name, claim(one).get("out") as BuiltOutput]));
  }

  const send = (builder: LyingBuilder, { info, nar }: Sample) =>
    builder.client.buildResult(packNars([info], () => one(nar)));

  it("a builder that vanishes after one of two outputs leaves nothing that counts", async () => {
    const [id = 0] = await pair().build(
      shellDerivation("two-outputs", "echo never built", 'outputs = [ "out" "doc" ];'),
    );
    {
      await using first = await joinLiar(pair());
      const outputs = execution(await first.order(0), 1);
      await send(first, outputs.get("out") as Sample);
    }
    await using second = await joinLiar(pair());
    const order = await second.order(0);
    const outputs = execution(order, 2);
    for (const output of outputs.values()) {
      // It must not be kept from sending its own by what the first one left.
      expect(await second.client.hasPath(output.info.path)).toBe(false);
      await send(second, output);
    }
    await second.succeed(order, claimAll(outputs));
    await pair().tables.waitFinished([id]);

    const { BuildSteps, Builds } = await pair().tables.rows([id]);
    expect(Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
    expect(BuildSteps.map(({ status }) => status)).toEqual([3, 0]);
    for (const { info } of outputs.values()) {
      const hash = await pair().store.run("nix-store", [
        "--query",
        "--hash",
        printStorePath(defaultStoreDir, info.path),
      ]);
      expect(hash.trim()).toBe(printHash(info.narHash, "nix32"));
      const there = await readFile(join(pair().store.realStoreDir, info.path), "utf8");
      expect(there).toContain("of execution 2");
    }
  });
});

describe(`${title}, from the bucket`, () => {
  let s3: S3Server;
  let folder: string;
  const pair = usePair(async () => {
    folder = await mkdtemp(join(tmpdir(), "hydra-i8-"));
    await writeFile(join(folder, "key"), secretKey);
    s3 = await startS3Server();
    return {
      databaseUrl: await testDatabase(),
      builders: [],
      runner: {
        maxRetries: 5,
        usePresignedUploads: true,
        remoteStoreAddr: [s3.uri("cache", { compression: "zstd", "secret-key": join(folder, "key") })],
      },
      runnerEnv: {
        AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
      },
    };
  });
  afterAll(async () => {
    await s3?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("a report without uploads, and one with damaged uploads, start nothing; a true one does", async () => {
    await using builder = await joinLiar(pair());
    const [id = 0] = await pair().build(upper);
    const { machineId, client } = builder;
    const upload = async (order: BuildOrder, what: Sample, info: ValidPathInfo): Promise<void> => {
      const urls = { buildId: order.buildId, machineId, requests: [request({ ...what, info })] };
      const [minted] = await client.requestPresignedUrls(urls);
      if (minted === undefined) throw new Error("no URL");
      const { narInfo, multipart, narAlreadyPresent } = await build(minted, what);
      const done = { buildId: order.buildId, machineId, multipart, narAlreadyPresent, bucket: minted.bucket };
      await client
        .notifyPresignedUploadComplete({ ...done, narInfo: { ...narInfo, ...info, fileSize: 5 } })
        .catch(() => undefined);
      await client.notifyPresignedUploadComplete({ ...done, narInfo });
    };

    const first = await builder.order(0);
    await builder.succeed(first, claim(made(first)));
    const second = await builder.order(1);
    const good = made(second);
    const other = sample("y", file("something else\n"));
    const bad = { nar: other.nar, info: { ...other.info, path: good.info.path } };
    await expect(upload(second, bad, good.info)).rejects.toThrow();
    await builder.succeed(second, claim(good));
    expect(ordered(builder)).toEqual(["lower", "lower"]);
    expect([...(s3.objects.get("cache")?.keys() ?? [])].filter((key) => key.endsWith(".narinfo"))).toEqual(
      [],
    );

    const third = await builder.order(2);
    await upload(third, good, good.info);
    await builder.succeed(third, claim(good));
    const dependent = await builder.order(3);
    expect(dependent.derivation?.inputSources).toContain(good.info.path);
    expect(s3.objects.get("cache")?.has(`${good.info.path.slice(0, 32)}.narinfo`)).toBe(true);
    expect(await refused(pair(), id)).toEqual([
      expect.stringContaining("did not arrive"),
      expect.stringContaining("did not arrive"),
    ]);
  });
});

describe("I10: after kill -9 at any point and a restart, the final state equals some run without the kill", () => {
  const pair = usePair(async () => ({ databaseUrl: await testDatabase(), builders: [{}, {}] }));

  /** A diamond, a chain, a failure with what depends on it, and something large enough to be in transfer. */
  function queue(salt: string): string[] {
    const base = shellDerivation(`base-${salt}`, `/bin/busybox sleep 0.3; echo base > $out`);
    const on = (name: string, script: string, input: string) =>
      shellDerivation(`${name}-${salt}`, `read x < $input; ${script}`, `input = ${input};`);
    const left = on("left", "echo left > $out", base);
    const right = on("right", "/bin/busybox sleep 0.5; echo right > $out", base);
    const top = shellDerivation(`top-${salt}`, "echo top > $out", `left = ${left}; right = ${right};`);
    const broken = on("broken", "/bin/busybox sleep 0.2; echo this fails; exit 1", base);
    const above = on("above", "echo above > $out", broken);
    const big = on("big", "/bin/busybox head -c 4000000 /dev/urandom > $out", base);
    return [top, left, broken, above, big];
  }

  /** What does not depend on names, times and the number of tries. */
  async function finalState(ids: readonly number[]) {
    await pair().tables.waitFinished(ids);
    await pair().notifications.settle();
    const { Builds, BuildSteps, BuildOutputs } = await pair().tables.rows(ids);
    expect(await pair().tables.busySteps()).toEqual([]);
    for (const { status, starttime, stoptime } of BuildSteps) {
      // When an orphan ended nobody knows: 0, as the recorded runner has it, so that no share is charged for it.
      if (status === 3 && stoptime === 0) continue;
      if (starttime !== null) expect(stoptime).toBeGreaterThanOrEqual(Number(starttime));
    }
    const announced = pair()
      .notifications.of(ids)
      .filter(({ channel }) => channel === "build_finished")
      .flatMap(({ payload }) => payload.split("\t").map(Number));
    return {
      builds: Builds.map(({ finished, buildstatus }) => [finished, buildstatus]),
      outputs: BuildOutputs.map(({ path }) => path !== null),
      announced: [...new Set(announced)].sort((a, b) => a - b).map((id) => ids.indexOf(id)),
      failures: ids.map((id) => BuildSteps.filter((row) => row.build === id && row.status === 1).length),
    };
  }

  const moments: readonly (readonly [string, (ids: readonly number[]) => Promise<unknown>])[] = [
    ["before anything is read", () => Promise.resolve()],
    ["when the first step has a row", ([id = 0]) => pair().tables.waitBusy(id, 1)],
    ["while it builds", ([id = 0]) => pair().tables.waitBusy(id, 30)],
    ["when some builds are done", ([, left = 0]) => pair().tables.waitFinished([left])],
    ["right after the failure is recorded", ([, , broken = 0]) => pair().tables.waitFinished([broken])],
  ];

  it("whatever was going on", async () => {
    const calm = await finalState(await pair().build(...queue("calm")));
    expect(calm.builds).toEqual([
      [1, 0],
      [1, 0],
      [1, 1],
      [1, 2],
      [1, 0],
    ]);
    for (const [index, [when, moment]] of moments.entries()) {
      const ids = await pair().build(...queue(`killed-${index}`));
      await moment(ids);
      await pair().runner.kill();
      await pair().startRunner();
      expect(await finalState(ids), when).toEqual(calm);
    }
  });

  it("several times in a row", async () => {
    const calm = await finalState(await pair().build(...queue("calm-again")));
    const ids = await pair().build(...queue("often"));
    for (const pause of [300, 100, 700]) {
      await sleep(pause);
      await pair().runner.kill();
      await pair().startRunner();
    }
    expect(await finalState(ids)).toEqual(calm);
    expect([0, 1].map((index) => pair().builder(index).process.running)).toEqual([true, true]);
  });
});
