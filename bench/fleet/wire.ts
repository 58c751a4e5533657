/**
 * As much of HTTP/2 (RFC 9113) as a simulated builder needs, as bytes: thousands of them in one process must cost less
 * than the runner under measurement.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { pingToWire } from "../../lib/rpc/convert/index.js";
import {
  BuilderRequestSchema,
  JoinMessageSchema,
  VersionCheckRequestSchema,
} from "../../lib/rpc/gen/runner/v1/streaming_pb.js";

/** Types of frames. */
export const frameType = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7 } as const;

/** Flags of frames. */
const [endStream, ack, endHeaders] = [1, 1, 4];

/** Bytes in front of each frame's payload. */
export const frameHeadBytes = 9;

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Literal fields that are not indexed and not Huffman-coded (RFC 7541, 6.2.2). */
function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const fields = Object.entries(headers).flatMap(([name, value]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
  return Buffer.concat(fields);
}

function call(stream: number, method: string): Buffer {
  const block = headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": `/runner.v1.RunnerService/${method}`,
    ":authority": "runner",
    "content-type": "application/grpc",
    te: "trailers",
  });
  return frame(frameType.headers, endHeaders, stream, block);
}

function message(stream: number, bytes: Uint8Array, flags = 0): Buffer {
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(bytes.length, 1);
  return frame(frameType.data, flags, stream, Buffer.concat([envelope, bytes]));
}

/** The streams of a builder's two calls. */
export const [versionStream, tunnelStream] = [1, 3];

/** What a builder sends first: the head of the connection and CheckVersion. */
export function hello(machineId: string, hostname: string, version: string): Buffer {
  const check = create(VersionCheckRequestSchema, { version, machineId, hostname, storeDir: "/nix/store" });
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(frameType.settings, 0, 0, new Uint8Array(0)),
    call(versionStream, "CheckVersion"),
    message(versionStream, toBinary(VersionCheckRequestSchema, check), endStream),
  ]);
}

/** OpenTunnel and its join. */
export function tunnelOf(machineId: string, hostname: string): Buffer {
  const join = create(JoinMessageSchema, {
    machineId,
    hostname,
    systems: ["x86_64-linux", "i686-linux"],
    supportedFeatures: ["big-parallel", "kvm", "nixos-test", "benchmark"],
    cpuCount: 16,
    bogomips: 6_000,
    speedFactor: 1,
    maxJobs: 4,
    load1Threshold: 64,
    cpuPsiThreshold: 100,
    memPsiThreshold: 100,
    totalMem: 64n * 1024n ** 3n,
    substituters: ["https://cache.example.org"],
    nixVersion: "2.28.3",
  });
  const request = create(BuilderRequestSchema, { message: { case: "join", value: join } });
  return Buffer.concat([
    call(tunnelStream, "OpenTunnel"),
    message(tunnelStream, toBinary(BuilderRequestSchema, request)),
  ]);
}

/** A ping as builders on Linux send it, with its pressure. */
export function builderPing(machineId: string, load1: number): Buffer {
  const some = { avg10: load1 / 2, avg60: load1 / 3, avg300: load1 / 4, total: 123_456_789 };
  const value = pingToWire({
    machineId,
    load1,
    load5: load1,
    load15: load1,
    memUsage: 3 * 1024 ** 3,
    pressure: {
      cpuSome: some,
      memSome: some,
      memFull: some,
      ioSome: some,
      ioFull: some,
      irqFull: some,
    },
    buildDirFreePercent: 60.5,
    storeFreePercent: 40.25,
    currentSubstitutingPathCount: 0,
    currentUploadingPathCount: 0,
    currentDownloadingPathCount: 0,
  });
  const request = create(BuilderRequestSchema, { message: { case: "ping", value } });
  return message(tunnelStream, toBinary(BuilderRequestSchema, request));
}

/** The frames that a peer waits for. */
export const settingsAck = frame(frameType.settings, ack, 0, new Uint8Array(0));

/** The answer to a PING of HTTP/2. */
export function pingAck(payload: Uint8Array): Buffer {
  return frame(frameType.ping, ack, 0, payload);
}

/** Whether a SETTINGS or PING frame with these flags is an answer. */
export function isAck(flags: number): boolean {
  return (flags & ack) !== 0;
}
