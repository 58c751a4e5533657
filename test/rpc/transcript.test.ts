import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as convert from "../../lib/rpc/convert/index.js";
import * as store from "../../lib/rpc/gen/nix/store/v1/store_pb.js";
import * as wire from "../../lib/rpc/gen/runner/v1/streaming_pb.js";
import {
  connectRunner,
  decodeLog,
  type RpcCallRecord,
  RunnerServer,
  type RunnerServiceHandlers,
  unpackNars,
} from "../../lib/rpc/index.js";
import { answerOf } from "./support/raw.js";
import { bytesOf, streamOf } from "./support/streams.js";
import {
  callsOf,
  encoded,
  files,
  framed,
  isSameOnWire,
  type RecordedCall,
  type RecordedMessage,
  schemas,
  unframed,
} from "./support/transcript.js";
import { storeDir } from "./support/values.js";

function read<S extends DescMessage>(schema: S, message: RecordedMessage | undefined) {
  if (message === undefined) throw new Error("the recording lacks a message");
  return fromBinary(schema, new Uint8Array(message.bytes));
}

function expectSame(type: string, got: Uint8Array, recorded: RecordedMessage | undefined): void {
  const schema = schemas.get(type) as DescMessage;
  expect(recorded?.type).toBe(type);
  const text = `${type}\n${Buffer.from(got).toString("hex")}\n${recorded?.bytes.toString("hex")}`;
  expect(isSameOnWire(schema, got, recorded?.bytes ?? Buffer.alloc(0)), text).toBe(true);
}

/** The payloads of a recorded bulk stream, joined. */
function payloadOf(messages: readonly RecordedMessage[]): Buffer {
  return Buffer.concat(
    messages.map((message) => {
      if (message.type === "runner.v1.LogChunk") return read(wire.LogChunkSchema, message).data;
      const { content } = read(wire.AddToStoreRequestSchema, message);
      return content.case === "narChunk" ? content.value : new Uint8Array(0);
    }),
  );
}

/** Answers each call as the recorded runner did, and checks that the handler got what the recorded builder said. */
function recordedRunner(current: () => RecordedCall): RunnerServiceHandlers {
  const check = (type: string, message: Parameters<typeof encoded>[1]): void =>
    expectSame(type, encoded(schemas.get(type) as DescMessage, message), current().up[0]);
  const answer = <S extends DescMessage>(schema: S) => read(schema, current().down[0]);
  return {
    checkVersion: async (got) => {
      expect(got).toMatchObject({ hostname: "vm", storeDir });
      const { compatible, serverVersion } = answer(wire.VersionCheckResponseSchema);
      return { compatible, serverVersion };
    },
    openTunnel: async (join, tunnel) => {
      const { message } = read(wire.BuilderRequestSchema, current().up[0]);
      expect(message.case === "join" && convert.joinFromWire(message.value)).toEqual(join);
      for (const down of current().down) {
        const order = convert.orderFromWire(read(wire.RunnerRequestSchema, down));
        if (order !== undefined) expect(tunnel.send(order)).toBe(true);
      }
      const pings = [];
      for await (const ping of tunnel.messages) pings.push(ping);
      expect(pings).toHaveLength(current().up.length - 1);
    },
    buildStepUpdate: async (got) => check("runner.v1.StepUpdate", convert.stepUpdateToWire(got)),
    completeBuild: async (got) => check("runner.v1.BuildResultInfo", convert.completionToWire(got)),
    fetchRequisites: async (paths) => {
      expect(paths).toEqual(read(store.StorePathsSchema, current().up[0]).paths.map(({ path }) => path));
      return convert.storePathsFromWire(answer(wire.RequisitesResponseSchema).requisites, "requisites");
    },
    hasPath: async (path) => {
      expect(path).toBe(read(store.StorePathSchema, current().up[0]).path);
      return answer(wire.HasPathResponseSchema).hasPath;
    },
    fetchPaths: async (paths) => {
      expect(paths).toHaveLength(read(store.StorePathsSchema, current().up[0]).paths.length);
      const { content } = answer(wire.AddToStoreRequestSchema);
      if (content.case !== "header") throw new Error("no header");
      return {
        infos: content.value.pathInfos.map((info) => convert.pathInfoFromWire(info, "info")),
        chunks: streamOf(
          ...current()
            .down.slice(1)
            .map((message) => payloadOf([message])),
        ),
      };
    },
    buildLog: async ({ drv, chunks }) => {
      expect(drv).toBe(read(wire.LogChunkSchema, current().up[0]).drv?.path);
      const maxBytes = 2 ** 26;
      const text = await bytesOf(decodeLog(chunks, { maxBytes }));
      const recorded = await bytesOf(decodeLog(streamOf(payloadOf(current().up)), { maxBytes }));
      expect(text.toString()).toBe(recorded.toString());
    },
    buildResult: async (stream) => {
      let count = 0;
      for await (const { info, nar } of unpackNars(stream)) {
        expect(await bytesOf(nar)).toHaveLength(info.narSize);
        count += 1;
      }
      expect(count).toBe(stream.infos.length);
    },
    requestPresignedUrls: async (got) => {
      check("runner.v1.PresignedUrlRequest", convert.presignedRequestToWire(got));
      return convert.presignedNarsFromWire(answer(wire.PresignedUrlResponseSchema));
    },
    requestMultipartParts: () => Promise.reject(new Error("was not recorded")),
    notifyPresignedUploadComplete: async (got) =>
      check("runner.v1.PresignedUploadComplete", convert.uploadCompleteToWire(storeDir, got)),
  };
}

describe.each(files)("the recorded builder of %s against our server", (file) => {
  let current: RecordedCall | undefined;
  let server: RunnerServer;
  let session: http2.ClientHttp2Session;
  let origin: string;
  const records: RpcCallRecord[] = [];
  beforeAll(async () => {
    server = await RunnerServer.start({
      handlers: recordedRunner(() => {
        if (current === undefined) throw new Error("no call");
        return current;
      }),
      storeDir,
      listeners: [{ kind: "tcp", host: "::1", port: 0 }],
      onCall: (record) => void records.push(record),
    });
    origin = `http://[::1]:${(server.addresses[0] as AddressInfo).port}`;
    session = http2.connect(origin);
  });
  afterAll(async () => {
    session.destroy();
    await server.close({ graceMs: 0 });
  });

  const calls = callsOf(file);
  const methods = [...new Set(calls.map((call) => call.method))];

  it.each(methods.filter((method) => method !== "OpenTunnel"))("%s", async (method) => {
    const played = calls.filter((call) => call.method === method && call.complete);
    expect(played.length).toBeGreaterThan(0);
    for (const call of played) {
      current = call;
      const stream = session.request({ ...call.requestHeaders, ":authority": "runner.example" });
      const answering = answerOf(stream);
      for (const { bytes } of call.up) stream.write(framed(bytes));
      stream.end();
      const { headers, trailers, body } = await answering;
      expect(trailers).toEqual(expect.objectContaining({ "grpc-status": "0" }));
      expect(headers[":status"]).toBe(200);
      expect(headers["content-type"]).toBe("application/grpc");
      expect(headers["grpc-encoding"] ?? "identity").toBe("identity");
      const down = unframed(body);
      if (method === "FetchPaths") {
        expectSame("runner.v1.AddToStoreRequest", down[0] ?? Buffer.alloc(0), call.down[0]);
      } else {
        expect(down).toHaveLength(call.down.length);
      }
      for (const [index, bytes] of down.entries()) {
        expectSame(call.down[index]?.type ?? "", bytes, call.down[index]);
      }
    }
    expect(records.filter((record) => record.method === method && record.status !== "ok")).toEqual([]);
  });

  it("OpenTunnel", async () => {
    const played = calls.filter((call) => call.method === "OpenTunnel");
    expect(played.length).toBeGreaterThan(0);
    for (const call of played) {
      current = call;
      const own = http2.connect(origin);
      const stream = own.request({ ...call.requestHeaders, ":authority": "runner.example" });
      const answering = answerOf(stream);
      for (const { bytes } of call.up) stream.write(framed(bytes));
      stream.end();
      const { headers, trailers, body } = await answering;
      expect([headers[":status"], trailers["grpc-status"]]).toEqual([200, "0"]);
      const down = unframed(body);
      expect(down).toHaveLength(call.down.length);
      for (const [index, bytes] of down.entries()) {
        expectSame("runner.v1.RunnerRequest", bytes, call.down[index]);
      }
      own.destroy();
    }
  });
});

describe.each(files)("the recorded runner of %s against our client", (file) => {
  let current: RecordedCall | undefined;
  let body: Promise<Buffer> = Promise.resolve(Buffer.alloc(0));
  let seen: http2.IncomingHttpHeaders = {};
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => void sessions.add(session));
  server.on("stream", (stream, headers) => {
    seen = headers;
    const chunks: Buffer[] = [];
    stream.on("error", () => {});
    body = new Promise((resolve) => {
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      const isTunnel = headers[":path"]?.endsWith("/OpenTunnel") === true;
      const answer = (): void => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        for (const { bytes } of current?.down ?? []) stream.write(framed(bytes));
        if (isTunnel) resolve(Buffer.concat(chunks));
        stream.end();
      };
      if (isTunnel) stream.once("data", answer);
      else
        stream.once("end", () => {
          resolve(Buffer.concat(chunks));
          answer();
        });
    });
  });
  let client: ReturnType<typeof connectRunner>;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "::1", resolve));
    client = connectRunner({ endpoint: `http://[::1]:${(server.address() as AddressInfo).port}`, storeDir });
  });
  afterAll(async () => {
    await client.close();
    server.close();
    for (const session of sessions) session.destroy();
  });

  const calls = callsOf(file).filter((call) => call.complete && call.method !== "OpenTunnel");
  const answerBytes = (call: RecordedCall, type: string, message: Parameters<typeof encoded>[1]): void =>
    expectSame(type, encoded(schemas.get(type) as DescMessage, message), call.down[0]);

  /** Makes the call the recorded builder made. */
  async function make(call: RecordedCall): Promise<void> {
    const [first] = call.up;
    switch (call.method) {
      case "CheckVersion": {
        const {
          version,
          machineId: id,
          hostname,
          storeDir: dir,
        } = read(wire.VersionCheckRequestSchema, first);
        const answer = await client.checkVersion({ version, machineId: id, hostname, storeDir: dir });
        expect(answer).toMatchObject({ compatible: true, serverVersion: "0.1.0-5f82f0f0" });
        return;
      }
      case "BuildStepUpdate":
        return client.buildStepUpdate(convert.stepUpdateFromWire(read(wire.StepUpdateSchema, first)));
      case "CompleteBuild":
        return client.completeBuild(convert.completionFromWire(read(wire.BuildResultInfoSchema, first)));
      case "HasPath": {
        const path = convert.storePathFromWire(read(store.StorePathSchema, first), "path");
        expect(await client.hasPath(path)).toBe(read(wire.HasPathResponseSchema, call.down[0]).hasPath);
        return;
      }
      case "FetchRequisites": {
        const paths = convert.storePathsFromWire(read(store.StorePathsSchema, first).paths, "paths");
        const got = await client.fetchRequisites(paths);
        expect(got).toEqual(
          read(wire.RequisitesResponseSchema, call.down[0]).requisites.map(({ path }) => path),
        );
        return;
      }
      case "FetchPaths": {
        const paths = convert.storePathsFromWire(read(store.StorePathsSchema, first).paths, "paths");
        const stream = await client.fetchPaths(paths);
        expect(stream.infos.map(({ path }) => path)).toEqual(paths);
        for await (const { info, nar } of unpackNars(stream)) {
          expect(await bytesOf(nar)).toHaveLength(info.narSize);
        }
        return;
      }
      case "BuildLog": {
        const drv = convert.storePathFromWire(read(wire.LogChunkSchema, first).drv, "drv");
        return client.buildLog(drv, streamOf(...call.up.map((one) => payloadOf([one]))));
      }
      case "BuildResult": {
        const { content } = read(wire.AddToStoreRequestSchema, first);
        if (content.case !== "header") throw new Error("no header");
        const infos = content.value.pathInfos.map((info) => convert.pathInfoFromWire(info, "info"));
        const chunks = streamOf(...call.up.slice(1).map((one) => payloadOf([one])));
        return client.buildResult({ infos, chunks });
      }
      case "RequestPresignedUrl": {
        const request = convert.presignedRequestFromWire(read(wire.PresignedUrlRequestSchema, first));
        const nars = await client.requestPresignedUrls(request);
        answerBytes(call, "runner.v1.PresignedUrlResponse", convert.presignedNarsToWire(nars));
        return;
      }
      case "NotifyPresignedUploadComplete":
        return client.notifyPresignedUploadComplete(
          convert.uploadCompleteFromWire(storeDir, read(wire.PresignedUploadCompleteSchema, first)),
        );
      default:
        throw new Error(`no way to make ${call.method}`);
    }
  }

  it.each([...new Set(calls.map((call) => call.method))])("%s", async (method) => {
    for (const call of calls.filter((one) => one.method === method)) {
      current = call;
      await make(call);
      expect(seen).toMatchObject({
        ":method": "POST",
        ":path": call.requestHeaders[":path"],
        te: "trailers",
        "content-type": expect.stringMatching(/^application\/grpc(\+proto)?$/) as string,
      });
      expect(seen["grpc-encoding"]).toBeUndefined();
      const up = unframed(await body);
      expect(up).toHaveLength(call.up.length);
      for (const [index, bytes] of up.entries())
        expectSame(call.up[index]?.type ?? "", bytes, call.up[index]);
    }
  });

  it("OpenTunnel", async () => {
    for (const call of callsOf(file).filter((one) => one.method === "OpenTunnel")) {
      current = call;
      const { message } = read(wire.BuilderRequestSchema, call.up[0]);
      if (message.case !== "join") throw new Error("no join");
      const tunnel = await client.openTunnel(convert.joinFromWire(message.value));
      const orders = [];
      for await (const order of tunnel.orders) orders.push(order);
      expect(orders).toEqual(
        call.down.map((down) => convert.orderFromWire(read(wire.RunnerRequestSchema, down))),
      );
      expect(orders[0]).toMatchObject({ kind: "joinResponse" });
      expectSame("runner.v1.BuilderRequest", unframed(await body)[0] ?? Buffer.alloc(0), call.up[0]);
    }
  });
});
