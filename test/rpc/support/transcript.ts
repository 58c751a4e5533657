/** The recorded conversation of the existing pair, call by call. */
import { readFileSync } from "node:fs";
import { type DescMessage, equals, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { StorePathSchema, StorePathsSchema } from "../../../lib/rpc/gen/nix/store/v1/store_pb.js";
import * as wire from "../../../lib/rpc/gen/runner/v1/streaming_pb.js";

export const schemas = new Map<string, DescMessage>(
  [
    StorePathSchema,
    StorePathsSchema,
    wire.AddToStoreRequestSchema,
    wire.BuilderRequestSchema,
    wire.BuildResultInfoSchema,
    wire.EmptySchema,
    wire.HasPathResponseSchema,
    wire.LogChunkSchema,
    wire.PresignedUploadCompleteSchema,
    wire.PresignedUrlRequestSchema,
    wire.PresignedUrlResponseSchema,
    wire.RequisitesResponseSchema,
    wire.RunnerRequestSchema,
    wire.StepUpdateSchema,
    wire.VersionCheckRequestSchema,
    wire.VersionCheckResponseSchema,
  ].map((schema) => [schema.typeName, schema]),
);

interface Line {
  readonly s?: number;
  readonly path?: string;
  readonly dir?: "<" | ">";
  readonly ev?: string;
  readonly end?: boolean;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly hex?: string;
  readonly type?: string;
}

export interface RecordedMessage {
  readonly type: string;
  readonly bytes: Buffer;
}

export interface RecordedCall {
  readonly method: string;
  readonly requestHeaders: Readonly<Record<string, string | number>>;
  readonly up: RecordedMessage[];
  readonly down: RecordedMessage[];
  /** The builder ended its side and the runner answered with OK. */
  complete: boolean;
}

function linesOf(name: string): Line[] {
  // Relative to the root of the project, where tests and compiled programs are started.
  return readFileSync(`test/fixtures/observed/${name}`, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

export const files = ["wire.jsonl", "wire-presigned.jsonl"] as const;

export function messagesOf(name: string): RecordedMessage[] {
  return linesOf(name).flatMap(({ hex, type }) =>
    hex === undefined || type === undefined ? [] : [{ type, bytes: Buffer.from(hex, "hex") }],
  );
}

export function callsOf(name: string): RecordedCall[] {
  const calls: RecordedCall[] = [];
  const open = new Map<string, RecordedCall & { ended?: boolean }>();
  for (const line of linesOf(name)) {
    if (line.path === undefined) continue;
    const key = `${line.s} ${line.path}`;
    if (line.dir === ">" && line.headers !== undefined) {
      const call: RecordedCall = {
        method: line.path.slice(line.path.lastIndexOf("/") + 1),
        requestHeaders: line.headers,
        up: [],
        down: [],
        complete: false,
      };
      calls.push(call);
      open.set(key, call);
      continue;
    }
    const call = open.get(key);
    if (call === undefined) continue;
    if (line.hex !== undefined && line.type !== undefined) {
      const message = { type: line.type, bytes: Buffer.from(line.hex, "hex") };
      (line.dir === ">" ? call.up : call.down).push(message);
    }
    if (line.end === true) call.ended = true;
    if (line.trailers?.["grpc-status"] === "0") call.complete = call.ended === true;
  }
  return calls;
}

export function decoded(message: RecordedMessage): Message {
  const schema = schemas.get(message.type);
  if (schema === undefined) throw new Error(`unknown type ${message.type}`);
  return fromBinary(schema, message.bytes);
}

/** The same bytes, or the same fields with map entries in another order. */
export function isSameOnWire(schema: DescMessage, a: Uint8Array, b: Uint8Array): boolean {
  if (Buffer.from(a).equals(b)) return true;
  return a.length === b.length && equals(schema, fromBinary(schema, a), fromBinary(schema, b));
}

export function encoded(schema: DescMessage, message: Message): Uint8Array {
  return toBinary(schema, message);
}

/** In its envelope. */
export function framed(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Messages out of a whole gRPC body. */
export function unframed(body: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    if (body[at] !== 0) throw new Error("a compressed message");
    const size = body.readUInt32BE(at + 1);
    messages.push(body.subarray(at + 5, at + 5 + size));
    at += 5 + size;
  }
  return messages;
}
