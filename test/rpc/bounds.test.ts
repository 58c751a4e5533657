/** What a peer can make the server hold, and for how long. */
import * as http2 from "node:http2";
import { type AddressInfo, connect as connectSocket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { StorePathsSchema } from "../../lib/rpc/gen/nix/store/v1/store_pb.js";
import {
  connectRunner,
  RunnerServer,
  type RunnerServerOptions,
  type RunnerServiceHandlers,
} from "../../lib/rpc/index.js";
import { deadlineOf } from "../../lib/rpc/server/deadline.js";
import { MessageBudget } from "../../lib/rpc/server/message-budget.js";
import { MessageBuffer } from "../../lib/rpc/stream/message-buffer.js";
import { deferred } from "../support/deferred.js";
import { handlersWith } from "./support/handlers.js";
import { answerOf, grpcHeaders } from "./support/raw.js";
import { framed } from "./support/transcript.js";
import * as values from "./support/values.js";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const mebibyte = 1024 * 1024;

async function serve(
  handlers: Partial<RunnerServiceHandlers>,
  options: Partial<RunnerServerOptions> = {},
): Promise<number> {
  const server = await RunnerServer.start({
    handlers: handlersWith(handlers),
    storeDir: values.storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    ...options,
  });
  cleanups.push(() => server.close({ graceMs: 0 }));
  return (server.addresses[0] as AddressInfo).port;
}

function connect(port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

function call(session: http2.ClientHttp2Session, method: string, extra = {}): http2.ClientHttp2Stream {
  const path = `/runner.v1.RunnerService/${method}`;
  const stream = session.request({ ...grpcHeaders, ":path": path, ...extra });
  stream.on("error", () => {});
  return stream;
}

/** A store path, as HasPath takes it. */
const helloMessage = framed(
  Buffer.concat([Buffer.from([0x0a, values.hello.length]), Buffer.from(values.hello)]),
);

/** The envelope of a message of so many bytes. */
function envelope(size: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(size, 1);
  return head;
}

async function statusOf(stream: http2.ClientHttp2Stream): Promise<unknown> {
  const { headers, trailers } = await answerOf(stream);
  return trailers["grpc-status"] ?? headers["grpc-status"];
}

const exhausted = "8";
const outOfRange = "11";

describe("calls at a time", () => {
  const limitOf = (session: http2.ClientHttp2Session): number | undefined =>
    session.remoteSettings.maxConcurrentStreams;

  const joinable: Partial<RunnerServiceHandlers> = {
    hasPath: () => Promise.resolve(true),
    openTunnel: async ({ machineId }, tunnel) => {
      tunnel.send({ kind: "joinResponse", machineId, maxConcurrentDownloads: 1 });
      await tunnel.closed;
    },
  };

  /** A connection on which a call was answered. */
  async function used(port: number): Promise<http2.ClientHttp2Session> {
    const session = connect(port);
    const stream = call(session, "HasPath");
    stream.end(helloMessage);
    expect(await statusOf(stream)).toBe("0");
    return session;
  }

  it("are 16 for a connection, and 256 for sixteen of whoever has a machine that joined", async () => {
    const port = await serve(joinable);
    const stranger = await used(port);
    await expect.poll(() => limitOf(stranger)).toBe(16);
    const client = connectRunner({ endpoint: `http://127.0.0.1:${port}` });
    cleanups.push(() => client.close());
    await client.openTunnel(values.join);
    const sessions: http2.ClientHttp2Session[] = [];
    for (let index = 0; index < 18; index++) {
      const session = await used(port);
      sessions.push(session);
      if (index < 16) await expect.poll(() => limitOf(session)).toBe(256);
    }
    expect(sessions.map(limitOf)).toEqual([...Array.from({ length: 16 }, () => 256), 16, 16]);
    // One that leaves makes room for another.
    sessions[0]?.destroy();
    const next = sessions[17] ?? stranger;
    await expect
      .poll(async () => {
        const stream = call(next, "HasPath");
        stream.end(helloMessage);
        await statusOf(stream);
        return limitOf(next);
      })
      .toBe(256);
  });

  it("of a builder that has just joined wait for one another, and all are answered", async () => {
    const port = await serve(joinable);
    const client = connectRunner({ endpoint: `http://127.0.0.1:${port}` });
    cleanups.push(() => client.close());
    await client.openTunnel(values.join);
    const answers = await Promise.all(Array.from({ length: 400 }, () => client.hasPath(values.hello)));
    expect(answers.every(Boolean)).toBe(true);
  });
});

describe("messages", () => {
  it("that are declared but do not come take no memory", async () => {
    const port = await serve({});
    const before = process.memoryUsage().arrayBuffers;
    const streams = Array.from({ length: 20 }, () => connect(port)).flatMap((session) =>
      ["FetchRequisites", "CompleteBuild", "FetchPaths"].map((method) => {
        const stream = call(session, method);
        stream.write(envelope(49 * mebibyte));
        return stream;
      }),
    );
    const results = Array.from({ length: 20 }, () => {
      const stream = call(connect(port), "BuildResult");
      // A header (field 1) of 48 MiB.
      stream.write(Buffer.concat([envelope(49 * mebibyte), Buffer.from("0a80808018", "hex")]));
      return stream;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(30 * mebibyte);
    for (const stream of [...streams, ...results]) stream.close();
  });

  it("that 20 connections hold back by their last byte stay below a bound, and small calls go on", async () => {
    const port = await serve({ hasPath: async () => true });
    const before = process.memoryUsage().arrayBuffers;
    const piece = Buffer.alloc(mebibyte);
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 10);
    let exhaustedCalls = 0;
    const enough = deferred();
    const outcomes = Array.from({ length: 20 }, async (_, index) => {
      const stream = call(connect(port), index % 2 === 0 ? "FetchRequisites" : "CompleteBuild");
      const status = statusOf(stream);
      void status.then((code) => {
        if (code === exhausted && ++exhaustedCalls > 15) enough.resolve();
      });
      stream.write(envelope(49 * mebibyte));
      for (let sent = 0; sent < 48 && !stream.closed; sent++) {
        await new Promise((resolve) => stream.write(piece, resolve));
      }
      return Promise.race([status, enough.promise]);
    });
    const small = call(connect(port), "HasPath");
    const answer = statusOf(small);
    small.end(helloMessage);
    expect(await answer).toBe("0");
    await Promise.all(outcomes);
    clearInterval(watch);
    expect(exhaustedCalls).toBeGreaterThan(15);
    // Sender and server share this process.
    expect(most).toBeLessThan(300 * mebibyte);
  });

  it.each(["CheckVersion", "BuildStepUpdate", "HasPath", "RequestMultipartParts"])(
    "of %s are small",
    async (method) => {
      const stream = call(connect(await serve({})), method);
      const status = statusOf(stream);
      stream.write(envelope(65_537));
      expect(await status).toBe(outOfRange);
    },
  );

  it("of the tunnel and the first field of a log are small", async () => {
    const port = await serve({});
    const tunnel = call(connect(port), "OpenTunnel");
    const log = call(connect(port), "BuildLog");
    const statuses = Promise.all([statusOf(tunnel), statusOf(log)]);
    tunnel.write(envelope(mebibyte + 1));
    log.write(Buffer.concat([envelope(mebibyte), Buffer.from("0a818004", "hex"), Buffer.alloc(100)]));
    expect(await statuses).toEqual([outOfRange, outOfRange]);
  });

  it("of 13 MiB are taken when nothing else is there", async () => {
    let count = 0;
    const port = await serve({
      fetchRequisites: async (paths) => {
        count = paths.length;
        return [];
      },
    });
    const stream = call(connect(port), "FetchRequisites");
    const status = statusOf(stream);
    const paths = Array.from({ length: 300_000 }, () => ({ path: values.helloDrv }));
    stream.end(framed(toBinary(StorePathsSchema, create(StorePathsSchema, { paths }))));
    expect(await status).toBe("0");
    expect(count).toBe(300_000);
  });
});

describe("the budget", () => {
  it("takes from the principal that holds most, never from what is complete, and gives everything back", () => {
    const budget = new MessageBudget({ smallBytes: 1_000_000, largeBytes: 1_000_000 });
    const evicted: string[] = [];
    const hold = (principal: string, name: string) => budget.hold(principal, () => evicted.push(name));
    const [greedy, second, modest] = [hold("g", "greedy"), hold("g", "second"), hold("m", "modest")];
    greedy.grow(600_000);
    second.grow(500_000);
    expect(() => second.grow(200_000)).toThrow(expect.objectContaining({ code: "resource-exhausted" }));
    modest.grow(400_000);
    expect(evicted).toEqual(["greedy"]);
    expect(() => greedy.grow(1)).toThrow(expect.objectContaining({ code: "resource-exhausted" }));
    second.arrived();
    expect(() => modest.grow(500_000)).toThrow(expect.objectContaining({ code: "resource-exhausted" }));
    for (const one of [greedy, second, modest]) one.release();
    expect(budget.heldBytes).toBe(0);
  });

  it("never holds more than its limits, whatever is asked for", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ who: fc.nat(5), call: fc.nat(9), bytes: fc.nat(300_000), end: fc.boolean() })),
        (steps) => {
          const budget = new MessageBudget({ smallBytes: 200_000, largeBytes: 500_000 });
          const holds = Array.from({ length: 60 }, (_, i) => budget.hold(`p${i % 6}`, () => {}));
          for (const { who, call, bytes, end } of steps) {
            const hold = holds[call * 6 + who];
            try {
              hold?.grow(bytes);
            } catch (error) {
              expect(error).toMatchObject({ code: "resource-exhausted" });
            }
            if (end) hold?.release();
            expect(budget.heldBytes).toBeLessThanOrEqual(700_000);
          }
          for (const hold of holds) hold.release();
          expect(budget.heldBytes).toBe(0);
        },
      ),
    );
  });

  it("a message is put together from any pieces, and memory is at most twice what has arrived", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 5_000 })), fc.nat(20_000), (pieces, more) => {
        const all = Buffer.concat(pieces);
        let taken = 0;
        const buffer = new MessageBuffer(all.length + more, (bytes) => {
          taken += bytes;
        });
        for (const piece of pieces) expect(buffer.take(piece)).toBe(piece.length);
        expect(taken).toBeLessThanOrEqual(Math.max(1_024, 2 * all.length));
        expect(buffer.missing).toBe(more);
        if (more === 0) expect(Buffer.from(buffer.bytes).equals(all)).toBe(true);
      }),
    );
  });
});

describe("deadlines", () => {
  it.each([
    ["99999999H", 2 ** 31 - 1],
    ["1H", 3_600_000],
    ["10M", 600_000],
    ["5S", 5_000],
    ["250m", 250],
    ["1500u", 1.5],
    ["0n", 0],
    ["123456789m", undefined],
    ["-1S", undefined],
    ["1h", undefined],
    ["", undefined],
  ])("%s is %s ms", (text, ms) => {
    expect(deadlineOf(text)).toBe(ms);
  });

  it.each(["HasPath", "FetchPaths"])("the longest one does not end %s at once", async (method) => {
    const later = <T>(value: T): Promise<T> =>
      new Promise((resolve) => setTimeout(() => resolve(value), 100));
    const port = await serve({
      hasPath: () => later(true),
      fetchPaths: () => later({ infos: [], chunks: (async function* () {})() }),
    });
    const stream = call(connect(port), method, { "grpc-timeout": "99999999H" });
    const status = statusOf(stream);
    stream.end(method === "FetchPaths" ? framed(Buffer.alloc(0)) : helloMessage);
    expect(await status).toBe("0");
  });
});

describe("connections", () => {
  it("from one address are bounded", async () => {
    const port = await serve({ hasPath: async () => true }, { maxConnectionsPerAddress: 3 });
    const sessions = Array.from({ length: 4 }, () => connect(port));
    const closed = (session: http2.ClientHttp2Session): Promise<void> =>
      new Promise((resolve) => session.once("close", () => resolve()));
    await Promise.race(sessions.map(closed));
    const others = sessions.filter((session) => !session.closed && !session.destroyed);
    expect(others).toHaveLength(3);
    for (const session of others) {
      const stream = call(session, "HasPath");
      const status = statusOf(stream);
      stream.end(helloMessage);
      expect(await status).toBe("0");
    }
  });

  it("without an accepted call are closed, others stay", async () => {
    const port = await serve({ hasPath: async () => true }, { strangerTimeoutMs: 2_000 });
    const silent = connectSocket(port, "127.0.0.1");
    silent.on("error", () => {});
    const used = connect(port);
    const stream = call(used, "HasPath");
    const status = statusOf(stream);
    stream.end(helloMessage);
    expect(await status).toBe("0");
    await new Promise((resolve) => silent.resume().once("close", resolve));
    expect(used.closed).toBe(false);
  });
});
