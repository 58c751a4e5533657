/**
 * Transfers that a builder keeps standing still: it never opens its windows, or stops in the middle of an upload. Nobody
 * else waits for that, and it costs the runner few processes and little memory.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import * as http2 from "node:http2";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { defaultStoreDir, parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import { pathInfoToWire, storePathToWire } from "../../lib/rpc/convert/store.js";
import { StorePathSchema, StorePathsSchema } from "../../lib/rpc/gen/nix/store/v1/store_pb.js";
import {
  AddToStoreHeaderSchema,
  AddToStoreRequestSchema,
  LogChunkSchema,
} from "../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { packNars } from "../../lib/rpc/index.js";
import type { BuildOrder } from "../../lib/rpc/types.js";
import { file, sample } from "../binary-cache/samples.js";
import { grpcHeaders } from "../rpc/support/raw.js";
import { LyingBuilder } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { pathInfo } from "../support/path-info.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";
import { expectBounded, probed } from "./probe.js";

let folder = "";
// Before the pair is made: what is registered last runs first, and the runner writes there to its end.
afterAll(() => rm(folder, { recursive: true, force: true }));
const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "standstill-"));
  const files = ["honest", "still"].map((name) => join(folder, `${name}.token`));
  for (const path of files) await writeFile(path, `secret-of-${basename(path)}\n`);
  return {
    databaseUrl: await testDatabase(),
    builders: [],
    runner: { tokenPaths: files, maxRetries: 5 },
    runnerEnv: probed(join(folder, "runner")),
  };
});

const bounded = (attack: () => Promise<unknown>): Promise<void> =>
  expectBounded(join(folder, "runner"), attack);

const systems = { honest: "x86_64-linux", still: "aarch64-linux" } as const;
type Who = keyof typeof systems;
const joinAs = (who: Who): Promise<LyingBuilder> =>
  LyingBuilder.join(pair().gatewayUrl, systems[who], { token: `secret-of-${who}.token`, hostname: who });

const sessions: http2.ClientHttp2Session[] = [];
afterEach(() => {
  for (const session of sessions.splice(0)) session.destroy();
});

/** A connection of the builder that speaks bare HTTP/2; the runner takes 256 calls at a time on it. */
async function bareConnection(settings: http2.Settings = {}): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(pair().gatewayUrl, { settings });
  session.on("error", () => {});
  sessions.push(session);
  const known = storePathToWire(parseStorePath(`${"0".repeat(32)}-known`));
  call(session, "HasPath").end(message(toBinary(StorePathSchema, known)));
  await until("many calls at a time", () => session.remoteSettings.maxConcurrentStreams === 256 || undefined);
  return session;
}

function call(session: http2.ClientHttp2Session, method: string): http2.ClientHttp2Stream {
  const stream = session.request({
    ...grpcHeaders,
    ":path": `/runner.v1.RunnerService/${method}`,
    authorization: "Bearer secret-of-still.token",
  });
  stream.on("error", () => {});
  return stream;
}

function message(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** A path of 20 MiB that does not compress, in the runner's store. */
let large: StorePath;
beforeAll(async () => {
  const path = join(folder, "large");
  await writeFile(path, randomBytes(20 << 20));
  large = parseStorePath(basename((await pair().store.run("nix-store", ["--add", path])).trim()));
});

let serial = 0;
async function orderFor(
  builder: LyingBuilder,
  who: Who,
): Promise<{ id: number; order: BuildOrder; out: StorePath }> {
  const index = builder.orders.length;
  const text = shellDerivation(`order-${++serial}`, "echo > $out");
  const expression = text.replace("builtins.currentSystem", JSON.stringify(systems[who]));
  const [id = 0] = await pair().build(expression);
  const order = await builder.order(index);
  const output = order.derivation?.outputs.get("out");
  if (output?.kind !== "inputAddressed") throw new Error("the order names no output path");
  return { id, order, out: output.path };
}

async function fetched(builder: LyingBuilder): Promise<number> {
  let bytes = 0;
  for await (const chunk of (await builder.client.fetchPaths([large])).chunks) bytes += chunk.length;
  return bytes;
}

/** The runner does all that builders ask of it, well before it gives up a transfer that stands still. */
async function expectServed(honest: LyingBuilder): Promise<void> {
  const started = performance.now();
  const reached: [string, number][] = [];
  const note = (what: string): number => reached.push([what, Math.round(performance.now() - started)]);
  const { id, order, out } = await orderFor(honest, "honest");
  note("ordered");
  expect(await fetched(honest)).toBeGreaterThan(20 << 20);
  note("fetched");
  const { nar, info } = sample("x", file("made\n"));
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield nar;
  }
  await honest.client.buildResult(packNars([{ ...info, path: out }], bytes));
  note("sent");
  const { narSize, narHash } = info;
  const output = { path: out, narSize, narHash, closureSize: narSize, nixSupport: undefined };
  await honest.succeed(order, new Map([["out", output]]));
  note("reported");
  await pair().tables.waitFinished([id]);
  note("finished");
  expect(
    performance.now() - started,
    `milliseconds until ${reached.map(([what, ms]) => `${what} ${ms}`).join(", ")}`,
  ).toBeLessThan(25_000);
}

const childrenOf = (pid: number): number =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean).length;

function fetchWithoutReading(session: http2.ClientHttp2Session, times: number): void {
  const request = create(StorePathsSchema, { paths: [storePathToWire(large)] });
  for (let count = 0; count < times; count++)
    call(session, "FetchPaths").end(message(toBinary(StorePathsSchema, request)));
}

test("downloads into windows that are never opened", async () => {
  await using honest = await joinAs("honest");
  await using _still = await joinAs("still");
  const session = await bareConnection({ initialWindowSize: 0 });
  await bounded(async () => {
    fetchWithoutReading(session, 200);
    await sleep(2_000);
    expect(childrenOf(pair().runner.pid ?? 0)).toBeLessThan(20);
    await expectServed(honest);
  });
});

test("downloads of the same builder get the places of those that stand still", async () => {
  await using still = await joinAs("still");
  const session = await bareConnection({ initialWindowSize: 0 });
  fetchWithoutReading(session, 16);
  await sleep(1_000);
  expect(await fetched(still)).toBeGreaterThan(20 << 20);
});

function infoOf(path: StorePath): ValidPathInfo {
  return pathInfo(path, Buffer.from("whatever"), { narSize: 10 << 20 });
}

test("uploads that stop in the middle", async () => {
  await using honest = await joinAs("honest");
  await using still = await joinAs("still");
  const { out } = await orderFor(still, "still");
  const frame = execFileSync("zstd", ["-1c"], { input: randomBytes(1 << 20), maxBuffer: 1 << 24 });
  const header = create(AddToStoreHeaderSchema, {
    pathInfos: [pathInfoToWire(defaultStoreDir, infoOf(out))],
  });
  const first = create(AddToStoreRequestSchema, { content: { case: "header", value: header } });
  const second = create(AddToStoreRequestSchema, {
    content: { case: "narChunk", value: Uint8Array.from(frame.subarray(0, 600_000)) },
  });
  const bytes = Buffer.concat([first, second].map((one) => message(toBinary(AddToStoreRequestSchema, one))));
  const connections = [await bareConnection(), await bareConnection(), await bareConnection()];
  await bounded(async () => {
    for (const session of connections) {
      for (let count = 0; count < 240; count++) call(session, "BuildResult").resume().write(bytes);
    }
    await sleep(4_000);
    expect(childrenOf(pair().runner.pid ?? 0)).toBeLessThan(20);
    await expectServed(honest);
  });
});

test("a log that is begun 240 times has one file open", async () => {
  await using still = await joinAs("still");
  const { order } = await orderFor(still, "still");
  const session = await bareConnection();
  const descriptors = (): number => readdirSync(`/proc/${pair().runner.pid}/fd`).length;
  const before = descriptors();
  const begin = message(
    toBinary(LogChunkSchema, create(LogChunkSchema, { drv: storePathToWire(order.drv) })),
  );
  await bounded(async () => {
    for (let count = 0; count < 240; count++) call(session, "BuildLog").resume().write(begin);
    await sleep(3_000);
    expect(descriptors()).toBeLessThan(before + 20);
  });
});

test("lists of 50,000 and of 340,000 paths, and errors of 40 MiB", async () => {
  await using still = await joinAs("still");
  const paths = Array.from({ length: 340_000 }, (_, index) =>
    parseStorePath(`${String(index).padStart(32, "0")}-p`),
  );
  await bounded(async () => {
    expect(await still.client.fetchRequisites(paths.slice(0, 50_000))).toEqual([]);
    await expect(still.client.fetchPaths(paths.slice(0, 50_000))).rejects.toMatchObject({
      code: "not-found",
    });
    for (const ask of [() => still.client.fetchRequisites(paths), () => still.client.fetchPaths(paths)])
      await expect(ask()).rejects.toMatchObject({ code: "out-of-range" });
  });
  for (let count = 0; count < 4; count++) {
    const { order } = await orderFor(still, "still");
    await bounded(() =>
      still.client.completeBuild({
        buildId: order.buildId,
        machineId: still.machineId,
        state: "buildFailure",
        importMs: 0,
        buildMs: 1,
        uploadMs: 0,
        outputs: new Map(),
        error: "a\n".repeat(20 << 20),
      }),
    );
  }
});

test("30 machines with 20,000 systems and as many features are refused", async () => {
  const tries = Array.from({ length: 30 }, (_machine, machine) =>
    Array.from({ length: 20_000 }, (_, index) => `s${machine}-${index}`),
  );
  await bounded(async () => {
    await Promise.all(
      tries.map((names) =>
        expect(
          LyingBuilder.join(pair().gatewayUrl, systems.still, {
            token: "secret-of-still.token",
            systems: names,
          }),
        ).rejects.toMatchObject({ code: "out-of-range" }),
      ),
    );
    expect((await pair().get("/status/machines")).machinesCount).toBe(0);
  });
});
