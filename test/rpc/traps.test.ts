/** Ways in which HTTP/2 and its libraries mislead; each was met once. */
import * as http2 from "node:http2";
import { type AddressInfo, connect as connectSocket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { StorePathsSchema } from "../../lib/rpc/gen/nix/store/v1/store_pb.js";
import {
  connectRunner,
  RpcError,
  type RunnerClient,
  RunnerServer,
  type RunnerServiceHandlers,
} from "../../lib/rpc/index.js";
import { endStream, FrameTap, frameTypes } from "./support/frame-tap.js";
import { handlersWith } from "./support/handlers.js";
import { answerOf, grpcHeaders } from "./support/raw.js";
import { bytesOf, signalled, streamOf } from "./support/streams.js";
import { framed } from "./support/transcript.js";
import * as values from "./support/values.js";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const mebibyte = 1024 * 1024;

async function serve(handlers: Partial<RunnerServiceHandlers>): Promise<number> {
  const server = await RunnerServer.start({
    handlers: handlersWith(handlers),
    storeDir: values.storeDir,
    listeners: [{ kind: "tcp", host: "::1", port: 0 }],
  });
  cleanups.push(() => server.close({ graceMs: 0 }));
  return (server.addresses[0] as AddressInfo).port;
}

function clientOf(port: number): RunnerClient {
  const client = connectRunner({ endpoint: `http://[::1]:${port}`, storeDir: values.storeDir });
  cleanups.push(() => client.close());
  return client;
}

function rawClient(port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://[::1]:${port}`);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

const pathOf = (method: string): string => `/runner.v1.RunnerService/${method}`;
const request = (session: http2.ClientHttp2Session, method: string, extra = {}): http2.ClientHttp2Stream =>
  session.request({ ...grpcHeaders, ":authority": "runner.example", ":path": pathOf(method), ...extra });

async function* endless(size = 65_536): AsyncGenerator<Uint8Array> {
  for (;;) {
    yield Buffer.alloc(size, "x");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("compression is off", () => {
  it("at the server, whatever the builder would take", async () => {
    const port = await serve({
      fetchRequisites: async () => Array.from({ length: 500 }, () => values.hello),
    });
    const stream = request(rawClient(port), "FetchRequisites", {
      "grpc-accept-encoding": "gzip,br,identity",
    });
    const answering = answerOf(stream);
    stream.end(framed(new Uint8Array(0)));
    const { headers, body } = await answering;
    expect(headers["grpc-encoding"]).toBeUndefined();
    expect(body[0]).toBe(0);
    expect(body.length).toBeGreaterThan(10_000);
  });

  it("at the server, which refuses messages that are compressed", async () => {
    const port = await serve({
      hasPath: async () => true,
      fetchPaths: async () => ({ infos: [], chunks: streamOf() }),
    });
    for (const method of ["HasPath", "FetchPaths"]) {
      const stream = request(rawClient(port), method, { "grpc-encoding": "gzip" });
      const answering = answerOf(stream);
      stream.end(framed(new Uint8Array(0)));
      const { headers, trailers } = await answering;
      expect(trailers["grpc-status"] ?? headers["grpc-status"], method).toBe("12");
    }
  });

  it("at the client, which does not ask for it", async () => {
    const seen = signalled<http2.IncomingHttpHeaders>();
    const server = http2.createServer();
    server.on("stream", (stream, headers) => {
      seen.resolve(headers);
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "13" },
        { endStream: true },
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "::1", resolve));
    cleanups.push(() => void server.close());
    const client = clientOf((server.address() as AddressInfo).port);
    await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "internal" });
    expect((await seen.promise)["grpc-accept-encoding"]).toBeUndefined();
  });
});

it("response headers of a tunnel leave at once, before any message", async () => {
  const port = await serve({});
  const stream = request(rawClient(port), "OpenTunnel");
  stream.on("error", () => {});
  const headers = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
  expect(headers[":status"]).toBe(200);
  const trailers = new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
  stream.resume();
  stream.end();
  expect((await trailers)["grpc-status"]).toBe("3");
});

describe("a cancelled upload is not complete", () => {
  const header = Buffer.from("0a00", "hex");
  const chunk = Buffer.concat([Buffer.from("120178", "hex")]);
  const broken = { code: "cancelled" };

  it.each([
    ["CANCEL", http2.constants.NGHTTP2_CANCEL],
    ["NO_ERROR", http2.constants.NGHTTP2_NO_ERROR],
    ["INTERNAL_ERROR", http2.constants.NGHTTP2_INTERNAL_ERROR],
  ])("at the server, reset with %s", async (_, code) => {
    const reading = signalled();
    const outcome = signalled<unknown>();
    const port = await serve({
      buildResult: async ({ chunks }) => {
        try {
          for await (const _ of chunks) reading.resolve();
          outcome.resolve("complete");
        } catch (error) {
          outcome.resolve(error);
        }
      },
    });
    const stream = request(rawClient(port), "BuildResult");
    stream.on("error", () => {});
    stream.write(framed(header));
    stream.write(framed(chunk));
    await reading.promise;
    stream.close(code);
    expect(await outcome.promise).toMatchObject(broken);
  });

  it("at the server, when the connection is lost", async () => {
    const reading = signalled();
    const outcome = signalled<unknown>();
    const port = await serve({
      buildLog: async ({ chunks }) => {
        try {
          for await (const _ of chunks) reading.resolve();
          outcome.resolve("complete");
        } catch (error) {
          outcome.resolve(error);
        }
      },
    });
    const session = rawClient(port);
    const stream = request(session, "BuildLog");
    stream.on("error", () => {});
    const drv = Buffer.concat([Buffer.from("0a2c0a2a", "hex"), Buffer.from(values.helloDrv), chunk]);
    stream.write(framed(drv));
    await reading.promise;
    session.destroy();
    expect(await outcome.promise).toMatchObject(broken);
  });

  it.each(["signal", "source"])(
    "at the client, which never ends it but resets it with an error (%s)",
    async (kind) => {
      const reading = signalled();
      const tap = new FrameTap(
        await serve({
          buildResult: async ({ chunks }) => {
            for await (const _ of chunks) reading.resolve();
          },
        }),
      );
      cleanups.push(() => tap.close());
      const client = clientOf(await tap.listen());
      const aborter = new AbortController();
      async function* chunks(): AsyncGenerator<Uint8Array> {
        yield Buffer.from("some");
        await reading.promise;
        if (kind === "source") throw new Error("the daemon died");
        setTimeout(() => aborter.abort(), 10);
        await new Promise(() => {});
      }
      await expect(
        client.buildResult({ infos: [], chunks: chunks() }, { signal: aborter.signal }),
      ).rejects.toMatchObject({ code: kind === "source" ? "internal" : "cancelled" });
      await expect.poll(() => tap.frames.filter(({ type }) => type === frameTypes.reset).length).toBe(1);
      const [reset] = tap.frames.filter(({ type }) => type === frameTypes.reset);
      expect(reset?.payload.readUInt32BE(0)).toBe(http2.constants.NGHTTP2_INTERNAL_ERROR);
      const data = tap.frames.filter(({ type }) => type === frameTypes.data);
      expect(data.length).toBeGreaterThan(0);
      expect(data.filter(({ flags }) => (flags & endStream) !== 0)).toEqual([]);
    },
  );
});

describe("leaving early cancels the call", () => {
  it("fetchPaths", async () => {
    const over = signalled();
    const port = await serve({
      fetchPaths: async (_, { signal }) => {
        signal.addEventListener("abort", () => over.resolve());
        return { infos: [], chunks: endless() };
      },
    });
    const { chunks } = await clientOf(port).fetchPaths([]);
    for await (const _ of chunks) break;
    await over.promise;
  });

  it("the tunnel", async () => {
    const over = signalled<string>();
    const port = await serve({
      openTunnel: async (_, tunnel) => {
        tunnel.send({ kind: "joinResponse", machineId: values.machineId, maxConcurrentDownloads: 5 });
        over.resolve(await tunnel.closed);
      },
    });
    const tunnel = await clientOf(port).openTunnel(values.join);
    for await (const _ of tunnel.orders) break;
    expect(await over.promise).toBe("the builder left");
  });
});

it("what a handler streams is cleaned up when the client cancels, also while nobody reads", async () => {
  const blocked = signalled();
  const cleaned = signalled();
  const port = await serve({
    fetchPaths: async () => ({
      infos: [],
      chunks: (async function* () {
        try {
          for (let sent = 0; ; sent += 65_536) {
            if (sent > 2 * mebibyte) blocked.resolve();
            yield Buffer.alloc(65_536);
          }
        } finally {
          cleaned.resolve();
        }
      })(),
    }),
  });
  const stream = request(rawClient(port), "FetchPaths");
  stream.on("error", () => {});
  stream.end(framed(toBinary(StorePathsSchema, create(StorePathsSchema))));
  stream.pause();
  await Promise.race([blocked.promise, new Promise((resolve) => setTimeout(resolve, 300))]);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await cleaned.promise;
});

describe("a download whose windows are shut ends, with all it holds", () => {
  async function begin(
    extra: http2.OutgoingHttpHeaders,
    givenUp?: AbortSignal,
  ): Promise<http2.ClientHttp2Stream> {
    const cleaned = signalled();
    async function* chunks(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(65_536);
      } finally {
        cleaned.resolve();
      }
    }
    const port = await serve({ fetchPaths: async () => ({ infos: [], chunks: chunks(), givenUp }) });
    const session = http2.connect(`http://[::1]:${port}`, { settings: { initialWindowSize: 0 } });
    session.on("error", () => {});
    cleanups.push(() => session.destroy());
    const stream = request(session, "FetchPaths", extra);
    stream.on("error", () => {});
    stream.end(framed(toBinary(StorePathsSchema, create(StorePathsSchema))));
    await cleaned.promise;
    return stream;
  }

  it("by its deadline", async () => {
    const stream = await begin({ "grpc-timeout": "300m" });
    if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
  });

  it("when the handler gives it up", async () => {
    const giver = new AbortController();
    setTimeout(() => giver.abort(new RpcError("unavailable", "others wait")), 300);
    const stream = await begin({}, giver.signal);
    if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
  });
});

describe("windows", () => {
  it("of the server are wide for streams and connection", async () => {
    const session = rawClient(await serve({ hasPath: async () => true }));
    const stream = request(session, "HasPath");
    const answering = answerOf(stream);
    stream.end(framed(Buffer.from("0a01", "hex")));
    await answering;
    expect(session.remoteSettings.initialWindowSize).toBe(4 * mebibyte);
    await expect.poll(() => session.state.remoteWindowSize).toBeGreaterThan(15 * mebibyte);
  });

  it("of the client are wide for streams and connection", async () => {
    const session = signalled<http2.ServerHttp2Session>();
    const server = http2.createServer();
    server.on("session", (one) => session.resolve(one));
    server.on("stream", (stream) =>
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "13" },
        { endStream: true },
      ),
    );
    await new Promise<void>((resolve) => server.listen(0, "::1", resolve));
    cleanups.push(() => void server.close());
    await expect(clientOf((server.address() as AddressInfo).port).hasPath(values.hello)).rejects.toThrow();
    const { remoteSettings, state } = await session.promise;
    expect(remoteSettings.initialWindowSize).toBe(4 * mebibyte);
    expect(state.remoteWindowSize).toBeGreaterThan(15 * mebibyte);
  });
});

describe("what crashed or hung", () => {
  it("an authority that is no host does not bring the server down", async () => {
    const port = await serve({ hasPath: async () => true });
    const session = rawClient(port);
    const stream = request(session, "HasPath", { ":authority": "::1:1:[" });
    const answering = answerOf(stream);
    stream.end(framed(Buffer.concat([Buffer.from([0x0a, values.hello.length]), Buffer.from(values.hello)])));
    expect((await answering).trailers["grpc-status"]).toBe("0");
    const odd = session.request({ ...grpcHeaders, ":authority": "x", ":path": "//" });
    odd.end();
    const { headers, trailers } = await answerOf(odd);
    expect(headers["grpc-status"] ?? trailers["grpc-status"]).toBe("12");
  });

  it("bytes that are no HTTP/2 do not bring the server down", async () => {
    const port = await serve({ hasPath: async () => true });
    const socket = connectSocket(port, "::1");
    socket.on("error", () => {});
    socket.resume();
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    expect(await clientOf(port).hasPath(values.hello)).toBe(true);
  });

  it("an answer that comes while the upload still runs is taken, and the upload stops", async () => {
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* endless();
      } finally {
        ended = true;
      }
    }
    const port = await serve({ buildLog: async () => {} });
    await clientOf(port).buildLog(values.helloDrv, source());
    await expect.poll(() => ended).toBe(true);
  });

  it("a slow reader holds the sender back", async () => {
    let produced = 0;
    const port = await serve({
      fetchPaths: async () => ({
        infos: [],
        chunks: (async function* () {
          for (; produced < 64 * mebibyte; produced += mebibyte) yield Buffer.alloc(mebibyte);
        })(),
      }),
    });
    const { chunks } = await clientOf(port).fetchPaths([]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(produced).toBeLessThan(16 * mebibyte);
    expect(await bytesOf(chunks)).toHaveLength(64 * mebibyte);
  });
});
