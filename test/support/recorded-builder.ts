// The unmodified Rust builder, as recorded: its own bytes, sent to a real runner. Only what cannot be the same is
// replaced: the attempt's identifier, and what an answer of the runner put into the next request.
import { createHash } from "node:crypto";
import * as http2 from "node:http2";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { compress } from "../../lib/compression/index.js";
import * as wire from "../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { answerOf, type RawAnswer } from "../rpc/support/raw.js";
import { callsOf, framed, type RecordedCall, unframed } from "../rpc/support/transcript.js";
import type { TlsIdentity } from "./grpc-proxy.js";
import { until } from "./until.js";

export interface RecordedBuilderOptions {
  readonly endpoint: string;
  readonly token?: string;
  readonly tls?: TlsIdentity;
  /** Instead of the recorded one, which belongs to the first principal that joined with it. */
  readonly machineId?: string;
  /** NARs for uploads into the bucket, by store path. Default: it uploads nothing. */
  readonly nars?: ReadonlyMap<string, Uint8Array>;
}

export const recordings = { direct: "wire.jsonl", presigned: "wire-presigned.jsonl" } as const;

/** What the recorded builder did about one order. */
interface RecordedWork {
  readonly buildId: string;
  readonly calls: readonly RecordedCall[];
}

/** The calls from the order for a derivation to the next order, as long as only one build ran. */
function workOf(calls: readonly RecordedCall[], drvName: string): RecordedWork {
  const orders = calls
    .filter(({ method }) => method === "OpenTunnel")
    .flatMap(({ down }) => down)
    .map(({ bytes }) => fromBinary(wire.RunnerRequestSchema, new Uint8Array(bytes)).message)
    .flatMap((message) => (message.case === "build" ? [message.value] : []));
  const order = orders.find(({ drv }) => drv?.path.slice(33) === drvName);
  if (order === undefined) throw new Error(`no order for ${drvName} was recorded`);
  const buildId = order.buildId;
  const speaks = (call: RecordedCall): string | undefined => {
    const [first] = call.up;
    if (first === undefined) return undefined;
    if (call.method === "BuildStepUpdate")
      return fromBinary(wire.StepUpdateSchema, new Uint8Array(first.bytes)).buildId;
    if (call.method === "CompleteBuild")
      return fromBinary(wire.BuildResultInfoSchema, new Uint8Array(first.bytes)).buildId;
    return undefined;
  };
  const start = calls.findIndex((call) => speaks(call) === buildId);
  const next = calls.findIndex((call, index) => {
    const id = speaks(call);
    return index > start && id !== undefined && id !== buildId;
  });
  const own = calls.slice(start, next === -1 ? undefined : next);
  return { buildId, calls: own.filter(({ method }) => method !== "OpenTunnel") };
}

/** The same bytes with another identifier of the same length. */
function replaced(bytes: Buffer, recorded: string, own: string): Buffer {
  const at = bytes.indexOf(recorded);
  if (at === -1) return bytes;
  const copy = Buffer.from(bytes);
  copy.write(own, at);
  return copy;
}

export class RecordedBuilder implements AsyncDisposable {
  readonly machineId: string;
  /** Identifiers in orders, by the derivation's name. */
  readonly orders = new Map<string, string>();
  /** Identifiers of builds that it was to abort. */
  readonly aborts: string[] = [];
  readonly #options: RecordedBuilderOptions;
  readonly #recordedMachineId: string;
  readonly #calls: readonly RecordedCall[];
  readonly #session: http2.ClientHttp2Session;
  readonly #pings: NodeJS.Timeout;
  #tunnelEnd: RawAnswer | undefined;

  private constructor(options: RecordedBuilderOptions, calls: readonly RecordedCall[]) {
    this.#options = options;
    this.#calls = calls;
    this.#session = http2.connect(options.endpoint, { ...options.tls });
    this.#session.on("error", () => {});
    const tunnel = this.#call("OpenTunnel");
    const [join, ping] = tunnel.up;
    if (join === undefined || ping === undefined) throw new Error("no join or no ping was recorded");
    const { message } = fromBinary(wire.BuilderRequestSchema, new Uint8Array(join.bytes));
    if (message.case !== "join") throw new Error("the tunnel was not opened with a join");
    this.#recordedMachineId = message.value.machineId;
    this.machineId = options.machineId ?? this.#recordedMachineId;
    const stream = this.#open(tunnel);
    stream.write(this.#framed(join.bytes));
    stream.write(this.#framed(ping.bytes));
    this.#pings = setInterval(() => stream.write(this.#framed(ping.bytes)), 1000);
    // Some proxies leave the stream half open after the status.
    stream.once("end", () => stream.end());
    let received = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 5 && received.length >= 5 + received.readUInt32BE(1)) {
        const size = received.readUInt32BE(1);
        this.#take(received.subarray(5, 5 + size));
        received = received.subarray(5 + size);
      }
    });
    void answerOf(stream).then((end) => {
      clearInterval(this.#pings);
      this.#tunnelEnd = end;
    });
  }

  /** Asks for the version and joins, with the bytes of the recording. */
  static async join(
    options: RecordedBuilderOptions,
    recording: (typeof recordings)[keyof typeof recordings] = recordings.direct,
  ): Promise<RecordedBuilder> {
    const builder = new RecordedBuilder(options, callsOf(recording));
    await builder.#play(builder.#call("CheckVersion"));
    await until("the answer to the join", () => {
      if (builder.#tunnelEnd !== undefined)
        throw new Error(`the tunnel ended: ${JSON.stringify(builder.#tunnelEnd.trailers)}`);
      return builder.#joined;
    });
    return builder;
  }

  #joined = false;

  /** Whether its tunnel is open. */
  get isConnected(): boolean {
    return this.#tunnelEnd === undefined;
  }

  #take(bytes: Uint8Array): void {
    const { message } = fromBinary(wire.RunnerRequestSchema, new Uint8Array(bytes));
    if (message.case === "join") this.#joined = true;
    if (message.case === "build") {
      this.orders.set(message.value.drv?.path.slice(33) ?? "", message.value.buildId);
    }
    if (message.case === "abort") this.aborts.push(message.value.buildId);
  }

  #call(method: string): RecordedCall {
    const found = this.#calls.find((call) => call.method === method);
    if (found === undefined) throw new Error(`no ${method} was recorded`);
    return found;
  }

  #framed(bytes: Uint8Array): Buffer {
    return framed(replaced(Buffer.from(bytes), this.#recordedMachineId, this.machineId));
  }

  #open(call: RecordedCall): http2.ClientHttp2Stream {
    const { token, endpoint } = this.#options;
    return this.#session.request({
      ...call.requestHeaders,
      ":scheme": new URL(endpoint).protocol.slice(0, -1),
      ":authority": new URL(endpoint).host,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    });
  }

  /** @throws Error when the answer is no success */
  async #play(call: RecordedCall, up: readonly Uint8Array[] = call.up.map(({ bytes }) => bytes)) {
    const stream = this.#open(call);
    const answering = answerOf(stream);
    for (const bytes of up) stream.write(this.#framed(bytes));
    stream.end();
    const answer = await answering;
    const status = answer.trailers["grpc-status"] ?? answer.headers["grpc-status"];
    if (status !== "0") {
      throw new Error(`${call.method}: ${JSON.stringify({ ...answer.headers, ...answer.trailers })}`);
    }
    return unframed(answer.body);
  }

  /** Waits for the order for a derivation (`hello.drv`) and does what the recorded builder did. */
  async build(drvName: string): Promise<void> {
    const work = workOf(this.#calls, drvName);
    const buildId = await until(`the order for ${drvName}`, () => this.orders.get(drvName));
    let uploaded: ((complete: wire.PresignedUploadComplete) => void) | undefined;
    for (const call of work.calls) {
      const up: Uint8Array[] = call.up.map(({ bytes }) => replaced(bytes, work.buildId, buildId));
      if (call.method === "NotifyPresignedUploadComplete") {
        const complete = fromBinary(wire.PresignedUploadCompleteSchema, new Uint8Array(up[0] ?? []));
        uploaded?.(complete);
        up[0] = toBinary(wire.PresignedUploadCompleteSchema, complete);
      }
      const [answer] = await this.#play(call, up);
      if (call.method === "RequestPresignedUrl") {
        uploaded = await this.#upload(
          fromBinary(wire.PresignedUrlResponseSchema, new Uint8Array(answer ?? [])),
        );
      }
    }
  }

  /** Puts the NAR, and returns what sets the facts of this upload into the message about its end. */
  async #upload({ inner: [nar] }: wire.PresignedUrlResponse) {
    const upload = nar?.narUpload;
    const content = this.#options.nars?.get(nar?.storePath ?? "");
    if (upload === undefined || content === undefined) throw new Error("there is nothing to upload");
    const body = await buffer(compress(Readable.from([content]), { method: "zstd" }));
    const [part] = upload.multipart?.parts ?? [];
    const response = await fetch(part?.url ?? upload.url, { method: "PUT", body });
    if (!response.ok) throw new Error(`PUT answered ${response.status}`);
    const etag = (response.headers.get("etag") ?? "").replaceAll('"', "");
    return ({ narInfo, multipart }: wire.PresignedUploadComplete): void => {
      const info = narInfo?.info;
      if (info?.downloadHash === undefined) throw new Error("the recording says nothing of the file");
      info.downloadHash.digest = createHash("sha256").update(body).digest();
      info.downloadSize = BigInt(body.length);
      if (multipart === undefined || upload.multipart === undefined) return;
      multipart.uploadId = upload.multipart.uploadId;
      for (const one of multipart.parts) one.etag = etag;
    };
  }

  /** Starts a build as recorded up to its log, leaves it running, and ends the log as recorded when told to abort. */
  async buildUntilAborted(drvName: string): Promise<void> {
    const work = workOf(this.#calls, drvName);
    const buildId = await until(`the order for ${drvName}`, () => this.orders.get(drvName));
    for (const call of work.calls) {
      const up = call.up.map(({ bytes }) => replaced(bytes, work.buildId, buildId));
      if (call.method !== "BuildLog") {
        await this.#play(call, up);
        continue;
      }
      const stream = this.#open(call);
      const answering = answerOf(stream);
      for (const bytes of up.slice(0, -1)) stream.write(this.#framed(bytes));
      await until("the order to abort", () => this.aborts.includes(buildId));
      for (const bytes of up.slice(-1)) stream.write(this.#framed(bytes));
      stream.end();
      await answering;
      return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#pings);
    if (this.#session.destroyed) return;
    const closed = new Promise<void>((resolve) => this.#session.once("close", () => resolve()));
    this.#session.destroy();
    await closed;
  }
}
