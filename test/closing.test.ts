/**
 * Every kind of wait between two tries, ended by what closes it. Where a delay can be chosen it is an hour, so a wait
 * that nothing ends is a test that times out.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Mutex, TaskGroup } from "../lib/async/index.js";
import { type BinaryCache, openBinaryCache, UploadQueue } from "../lib/binary-cache/index.js";
import { RunnerLink } from "../lib/builder/connection/runner-link.js";
import { BuilderClient } from "../lib/builder/index.js";
import { bytesBody, putObject } from "../lib/builder/presigned/put-object.js";
import { Secret } from "../lib/config/index.js";
import { connectionSettings } from "../lib/database/connection-settings.js";
import { HydraDatabase, Listener, OwnerLock, openHydraDatabase } from "../lib/database/index.js";
import { type Logger, silentLogger } from "../lib/log.js";
import { DaemonError } from "../lib/nix/daemon/error.js";
import { defaultStoreDir, parseStorePath } from "../lib/nix/path/store-path.js";
import type { Store } from "../lib/nix/store/store.js";
import { retried } from "../lib/rpc/client/retry.js";
import { RpcError } from "../lib/rpc/index.js";
import { checkOutputsWhileWanted } from "../lib/runner/attempt/output-check.js";
import { QueueRunner } from "../lib/runner/index.js";
import { GraphGrowth, type GraphGrowthOptions } from "../lib/runner/ingestion/graph-growth.js";
import { RetryingTransactions } from "../lib/runner/recording/retrying-transactions.js";
import type { Attempt } from "../lib/runner/state/attempts.js";
import type { StepFacts } from "../lib/runner/state/derivation-catalog.js";
import { file, narsOf, sample } from "./binary-cache/samples.js";
import { builderSettings, nixConfiguration } from "./support/builder-settings.js";
import { deferred } from "./support/deferred.js";
import { defaultConfig } from "./support/idle-runner.js";
import { type S3Server, startS3Server } from "./support/s3-server/index.js";

const hour = 3_600_000;
/** A port that is never listened on. */
const deadDatabase = "postgres://hydra@127.0.0.1:1/hydra";
const closed = new Error("closed by the test");

/** Resolves at the first warning: every retry writes one before it waits. */
function warned(): { readonly logger: Logger; readonly warning: Promise<void> } {
  const { promise, resolve } = deferred();
  const logger: Logger = { ...silentLogger, warn: () => resolve(), child: () => logger };
  return { logger, warning: promise };
}

describe("closing the database ends the pause", () => {
  const open = (onRetry: () => void): HydraDatabase =>
    new HydraDatabase({ settings: connectionSettings(deadDatabase), maxConnections: 1, onRetry });

  test("of a transaction", async () => {
    const { promise: retrying, resolve } = deferred();
    const database = open(resolve);
    const work = database.transaction(async () => {});
    const outcome = expect(work).rejects.toMatchObject({ code: "closed" });
    await retrying;
    await database.close();
    await outcome;
  });

  test("of a read", async () => {
    const { promise: retrying, resolve } = deferred();
    const database = open(resolve);
    const work = database.read((session) => session.query("SELECT 1"));
    const outcome = expect(work).rejects.toMatchObject({ code: "closed" });
    await retrying;
    await database.close();
    await outcome;
  });

  test("of the first connection", async () => {
    const { logger, warning } = warned();
    const stop = new AbortController();
    const opening = openHydraDatabase({ url: deadDatabase, dataDir: tmpdir(), logger, signal: stop.signal });
    const outcome = expect(opening).rejects.toBe(closed);
    await warning;
    stop.abort(closed);
    await outcome;
  });

  test("of the listener, and of the owner lock", async () => {
    const { logger, warning } = warned();
    const database = open(() => {});
    const listener = new Listener({ database, logger });
    const lock = new OwnerLock({ database });
    listener.start();
    const acquiring = expect(lock.acquire()).rejects.toMatchObject({ code: "closed" });
    await warning;
    await Promise.all([listener.close(), lock.release()]);
    await acquiring;
    await database.close();
  });
});

describe("closing the upload queue ends the pause", () => {
  let server: S3Server;
  let scratch: string;
  let cache: BinaryCache;
  beforeEach(async () => {
    server = await startS3Server({ buckets: ["one"] });
    scratch = await mkdtemp(join(tmpdir(), "closing-"));
    cache = await openBinaryCache(server.uri("one", { compression: "none" }), { credentials: server.keys });
  });
  afterEach(async () => {
    cache.close();
    await server.close();
    await rm(scratch, { recursive: true });
  });

  test("of an upload", async () => {
    const leaf = sample("a", file("leaf"));
    const { logger, warning } = warned();
    const queue = await UploadQueue.open({
      folder: join(scratch, "journal"),
      caches: () => [cache],
      closure: () => Promise.reject(new Error("the store does not answer")),
      openNar: narsOf(leaf),
      retryDelayMs: hour,
      maxRetryDelayMs: hour,
      logger,
    });
    const { done } = await queue.enqueue({ paths: [leaf.info.path] });
    await warning;
    await queue.close();
    await expect(done).rejects.toThrow("stays in its journal");
  });
});

describe("closing a runner ends the pause", () => {
  test("of what is to be added below a step", async () => {
    const { logger, warning } = warned();
    const stop = new AbortController();
    const drv = parseStorePath(`${"d".repeat(32)}-top.drv`);
    const growth = new GraphGrowth({
      scheduler: {
        view: { hasStep: () => true, step: () => ({ lowestBuild: 1 }), stepBuilds: () => [] },
      } as unknown as GraphGrowthOptions["scheduler"],
      surveys: {
        survey: () => Promise.reject(new Error("the store does not answer")),
      } as unknown as GraphGrowthOptions["surveys"],
      copies: {} as unknown as GraphGrowthOptions["copies"],
      uploads: { destination: () => "caches" },
      turns: new Mutex(),
      tasks: new TaskGroup(() => {}),
      logger,
      random: () => 0.5,
      closing: stop.signal,
    });
    const work = growth.buildAfterAll({ drv, inputs: [] } as unknown as StepFacts);
    await warning;
    stop.abort(closed);
    await work;
  });

  test("of a check of outputs", async () => {
    const { logger, warning } = warned();
    const stop = new AbortController();
    const unanswered = (): Promise<never> => Promise.reject(new DaemonError("closed", "no daemon"));
    const check = checkOutputsWhileWanted(
      {
        store: { storeDir: defaultStoreDir, queryPathInfos: unanswered },
        incoming: { demandProvable: () => {} },
        presigned: { lacking: unanswered, release: unanswered },
        uploadMode: () => "through-runner",
        logger,
        random: () => 0.5,
        stopped: stop.signal,
      },
      { facts: { outputs: new Map() } } as unknown as Attempt,
      new Map(),
      () => true,
    );
    const outcome = expect(check).rejects.toBe(closed);
    await warning;
    stop.abort(closed);
    await outcome;
  });

  test("of recording", async () => {
    const { logger, warning } = warned();
    const stop = new AbortController();
    const transactions = new RetryingTransactions({
      database: { transaction: () => Promise.reject(Object.assign(new Error("gone"), { code: "57P01" })) },
      logger,
      signal: stop.signal,
      random: () => 0.5,
    });
    const outcome = expect(transactions.run("it", async () => {})).rejects.toBe(closed);
    await warning;
    stop.abort(closed);
    await outcome;
  });

  test("for its database", async () => {
    const { logger, warning } = warned();
    const scratch = await mkdtemp(join(tmpdir(), "closing-"));
    const runner = new QueueRunner({
      config: { ...defaultConfig(), dbUrl: new Secret(deadDatabase), hydraDataDir: scratch },
      store: { storeDir: defaultStoreDir } as unknown as Store,
      grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
      logger,
    });
    const outcome = expect(runner.start()).rejects.toThrow("closing");
    await warning;
    await runner.close();
    await outcome;
    await rm(scratch, { recursive: true });
  });
});

describe("closing a builder ends the pause", () => {
  let server: Server;
  beforeEach(async () => {
    server = createServer((request, response) => {
      request.resume();
      request.on("end", () => response.writeHead(503).end());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => new Promise<void>((resolve) => server.close(() => resolve())));

  test("before it tries its gateways again", async () => {
    const { logger, warning } = warned();
    const client = new BuilderClient({
      settings: builderSettings,
      gateways: [{ address: "dead", connect: () => Promise.reject(new Error("refused")) }],
      store: { storeDir: defaultStoreDir } as unknown as Store,
      nixConfiguration,
      reconnectDelayMs: { first: hour, longest: hour },
      reconnectTimeoutMs: 10 * hour,
      logger,
    });
    const outcome = expect(client.start()).rejects.toMatchObject({ code: "closed" });
    await warning;
    await client.close();
    await outcome;
  });

  test("of a call that waits for a connection", async () => {
    const stop = new AbortController();
    const outcome = expect(new RunnerLink().call(async () => {}, stop.signal)).rejects.toBe(closed);
    stop.abort(closed);
    await outcome;
  });

  test("of a call that is retried", async () => {
    const { promise: retrying, resolve } = deferred();
    const stop = new AbortController();
    const call = retried(() => Promise.reject(new RpcError("unavailable", "not now")), {
      delaysMs: [hour],
      random: () => 0,
      signal: stop.signal,
      worthwhile: () => true,
      onRetry: () => resolve(),
    });
    const outcome = expect(call).rejects.toMatchObject({
      code: "cancelled",
      cause: { code: "unavailable" },
    });
    await retrying;
    stop.abort(closed);
    await outcome;
  });

  test("of an upload to a URL", async () => {
    const { port } = server.address() as AddressInfo;
    const answered = new Promise<void>((resolve) => {
      server.on("request", (_, response) => response.on("finish", resolve));
    });
    const stop = new AbortController();
    const upload = putObject(
      { url: async () => `http://127.0.0.1:${port}/object`, expire: () => false },
      bytesBody(Buffer.from("body")),
      { signal: stop.signal, retries: { totalMs: 10 * hour, backoff: { firstMs: hour, longestMs: hour } } },
    );
    const outcome = expect(upload).rejects.toBe(closed);
    await answered;
    // Time for the answer to arrive.
    await new Promise((resolve) => setTimeout(resolve, 200));
    stop.abort(closed);
    await outcome;
  });
});
