/** Work without bound, asked of a runner by a builder that has joined: each attack is refused or cut, and costs little. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import * as http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import type { BuildOrder } from "../../lib/rpc/types.js";
import { answerOf, grpcHeaders } from "../rpc/support/raw.js";
import { LyingBuilder } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { pathInfo } from "../support/path-info.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";
import { inPieces, zstdBomb } from "./bombs.js";
import { expectBounded, probed } from "./probe.js";

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;
const maxLogSize = 4 * mebibyte;
const maxOutputSize = 200 * mebibyte;
const system = "x86_64-linux";

let folder = "";
// Before the pair is made: what is registered last runs first, and the runner writes there to its end.
afterAll(() => rm(folder, { recursive: true, force: true }));
const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "bounds-"));
  return {
    databaseUrl: await testDatabase(),
    builders: [],
    runner: { maxLogSize, maxOutputSize, maxRetries: 1 },
    runnerEnv: probed(join(folder, "runner")),
  };
});

const bounded = (attack: () => Promise<unknown>): Promise<void> =>
  expectBounded(join(folder, "runner"), attack);

let serial = 0;
/** Queues a build, and gives its order to a builder that is about to lie. */
async function ordered(builder: LyingBuilder): Promise<{ id: number; order: BuildOrder; out: StorePath }> {
  // Counted before, as the order may come before the answer of the database.
  const index = builder.orders.length;
  const [id = 0] = await pair().build(shellDerivation(`victim-${++serial}`, "echo > $out"));
  const order = await builder.order(index);
  const output = order.derivation?.outputs.get("out");
  if (output?.kind !== "inputAddressed") throw new Error("the order names no output path");
  return { id, order, out: output.path };
}

function infoOf(path: StorePath, narSize: number): ValidPathInfo {
  return pathInfo(path, Buffer.from("whatever"), { narSize });
}

const joinLiar = (): Promise<LyingBuilder> => LyingBuilder.join(pair().gatewayUrl, system);

test("a log of 132 KB that stands for 4 GiB is cut with a note, and its step ends as log limit exceeded", async () => {
  await using builder = await joinLiar();
  const { id, order } = await ordered(builder);
  const bomb = zstdBomb(4 * gibibyte);
  expect(bomb.length).toBeLessThan(132_000);
  await bounded(async () => {
    await builder.client.buildLog(order.drv, inPieces(bomb)).catch(() => undefined);
    const ended = await until("the step to end", async () =>
      (await pair().tables.rows([id])).BuildSteps.find(({ status }) => status !== null),
    );
    expect(ended.status).toBe(10);
  });
  const path = join(pair().dataDir, "build-logs", order.drv.slice(0, 2), order.drv.slice(2));
  const log = await readFile(path, "latin1").catch(() => readFile(`${path}.zst`, "latin1"));
  expect(log.length).toBeLessThan(maxLogSize + 100);
});

test.each([
  ["as large as it is", gibibyte, "out-of-range"],
  ["small", 100 * mebibyte, undefined],
] as const)("an output of 1 GiB that is declared %s is refused", async (_, narSize, code) => {
  await using builder = await joinLiar();
  const { out } = await ordered(builder);
  const chunks = inPieces(zstdBomb(gibibyte));
  await bounded(async () => {
    const sent = builder.client.buildResult({ infos: [infoOf(out, narSize)], chunks });
    await expect(sent).rejects.toMatchObject(code === undefined ? {} : { code });
  });
  expect(
    await pair()
      .store.run("nix-store", ["--check-validity", `/nix/store/${out}`])
      .catch(() => "no"),
  ).toBe("no");
});

test("a NAR of 1 KB that stands for 4 GiB, of a path that is not an output, is refused", async () => {
  await using builder = await joinLiar();
  const path = parseStorePath(`${"0".repeat(32)}-other`);
  await bounded(async () => {
    const chunks = inPieces(zstdBomb(4 * gibibyte));
    await expect(builder.client.buildResult({ infos: [infoOf(path, 1_000)], chunks })).rejects.toThrow();
  });
});

test("a header that lists 100,000 paths without bytes is refused", async () => {
  await using builder = await joinLiar();
  await bounded(async () => {
    const infos = Array.from({ length: 100_000 }, (_, index) =>
      infoOf(parseStorePath(`${String(index).padStart(32, "0")}-p`), 1),
    );
    await expect(builder.client.buildResult({ infos, chunks: inPieces(zstdBomb(1)) })).rejects.toThrow();
  });
});

/** A peer that speaks bare HTTP/2. */
function connect(): http2.ClientHttp2Session {
  const session = http2.connect(pair().gatewayUrl);
  session.on("error", () => {});
  return session;
}

function call(session: http2.ClientHttp2Session, method: string, extra = {}): http2.ClientHttp2Stream {
  const path = `/runner.v1.RunnerService/${method}`;
  const stream = session.request({ ...grpcHeaders, ":path": path, ...extra });
  stream.on("error", () => {});
  return stream;
}

function envelope(size: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(size, 1);
  return head;
}

/** Sends what a stream takes within a while, and leaves. */
async function pour(stream: http2.ClientHttp2Stream, pieces: Iterable<Uint8Array>): Promise<void> {
  stream.resume();
  for (const piece of pieces) {
    if (stream.closed || stream.destroyed) return;
    const written = new Promise<void>((resolve) => stream.write(piece, () => resolve()));
    await Promise.race([written, sleep(500)]);
  }
}

function* repeated(piece: Uint8Array, count: number): Generator<Uint8Array> {
  for (let index = 0; index < count; index++) yield piece;
}

test("20 connections with messages of 49 MiB, declared or sent but for their last byte", async () => {
  await using _builder = await joinLiar();
  const sessions = Array.from({ length: 20 }, connect);
  await bounded(async () => {
    const piece = Buffer.alloc(mebibyte);
    await Promise.all(
      sessions.map(async (session, index) => {
        for (const method of ["FetchPaths", "BuildResult"])
          call(session, method).write(envelope(49 * mebibyte));
        const stream = call(session, index % 2 === 0 ? "FetchRequisites" : "CompleteBuild");
        stream.write(envelope(49 * mebibyte));
        await pour(stream, repeated(piece, 48));
      }),
    );
  });
  for (const session of sessions) session.destroy();
});

test.each([
  ["FetchRequisites", "0a00"],
  ["BuildResult", "0a00"],
  ["CompleteBuild", "2200"],
  ["NotifyPresignedUploadComplete", "1a00"],
  ["RequestPresignedUrl", "1a00"],
])("a message of %s of 48 MiB that holds 25 million empty fields", async (method, field) => {
  await using _builder = await joinLiar();
  const session = connect();
  await bounded(async () => {
    const piece = Buffer.from(field.repeat(mebibyte / 2), "hex");
    // The bulk call holds its list in field 1 of the message.
    const head = method === "BuildResult" ? Buffer.from("0a80808018", "hex") : Buffer.alloc(0);
    const stream = call(session, method);
    const answer = answerOf(stream);
    stream.write(Buffer.concat([envelope(head.length + 48 * mebibyte), head]));
    await pour(stream, repeated(piece, 48));
    stream.end();
    const { headers, trailers } = await Promise.race([
      answer,
      sleep(20_000).then(() => Promise.reject(new Error("no answer"))),
    ]);
    expect(trailers["grpc-status"] ?? headers["grpc-status"]).not.toBe("0");
  });
  session.destroy();
});

test("headers of 60 KB on 1,000 streams", async () => {
  await using _builder = await joinLiar();
  const session = connect();
  await bounded(async () => {
    for (let count = 0; count < 1_000; count++) {
      call(session, "HasPath", { "x-bomb": "b".repeat(60_000) }).resume();
    }
    await sleep(3_000);
  });
  session.destroy();
});

const manyStreams = fileURLToPath(new URL("many-streams.mjs", import.meta.url));

test.each([
  // More than a connection may have: it ends with a protocol error.
  [10, 1_000],
  [10, 256],
  [40, 32],
  // As many as a connection may have before its peer has joined: they stay open until their peer leaves.
  [40, 16],
])("%i connections that open %i calls each with one packet, and leave", async (connections, streams) => {
  await using builder = await joinLiar();
  const port = new URL(pair().gatewayUrl).port;
  await bounded(async () => {
    const args = [manyStreams, port, String(connections), String(streams), "HasPath"];
    const attacker = spawn(process.execPath, args, { stdio: ["pipe", "inherit", "inherit"] });
    await sleep(4_000);
    attacker.stdin.end();
    await once(attacker, "exit");
    await sleep(1_000);
  });
  expect(await builder.client.hasPath(parseStorePath(`${"0".repeat(32)}-other`))).toBe(false);
});

test("a deadline of 99,999,999 hours does not end a call at once", async () => {
  await using _builder = await joinLiar();
  const session = connect();
  await bounded(async () => {
    const stream = call(session, "FetchPaths", { "grpc-timeout": "99999999H" });
    const early = answerOf(stream).then(() => "answered");
    expect(await Promise.race([early, sleep(500).then(() => "waits")])).toBe("waits");
  });
  session.destroy();
});
