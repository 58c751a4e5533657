/** Outputs with contents: small NARs, and the stream in which a builder sends them. */
import {
  type ContentAddress,
  dumpTree,
  type Hash,
  hashBytes,
  makeFixedOutputPath,
  printHash,
  type StorePath,
  type ValidPathInfo,
} from "../../nix/index.js";
import type { NarStream } from "../../rpc/index.js";
import { storeDir } from "./store-paths.js";

/** A path and the bytes that some builder has for it. */
export interface SimulatedOutput {
  readonly path: StorePath;
  readonly nar: Uint8Array;
  readonly narHash: Hash;
  readonly ca: ContentAddress | undefined;
}

/** The contents that a text stands for, at a path that does not follow from them. */
export function outputAt(path: StorePath, text: string): SimulatedOutput {
  const nar = narOf(text);
  return { path, nar, narHash: hashBytes("sha256", nar), ca: undefined };
}

/** The same, at the path that follows from them. */
export function addressedOutput(name: string, text: string): SimulatedOutput {
  const nar = narOf(text);
  const narHash = hashBytes("sha256", nar);
  const ca: ContentAddress = { method: "nixArchive", hash: narHash };
  return { path: makeFixedOutputPath(storeDir, name, ca), nar, narHash, ca };
}

/** As the wire has it. `claimed`: the hash that the sender states, when it lies about it. */
export function streamOf({ path, nar, narHash, ca }: SimulatedOutput, claimed: Hash = narHash): NarStream {
  const info: ValidPathInfo = {
    path,
    deriver: undefined,
    narHash: claimed,
    references: [],
    registrationTime: 0,
    narSize: nar.length,
    ultimate: false,
    signatures: [],
    ca,
  };
  return { infos: [info], chunks: framed(nar) };
}

/** A text as the chunks of a log. */
export function logOf(text: string): AsyncIterable<Uint8Array> {
  return framed(Buffer.from(text));
}

/** A hash as a key. */
export function hashText(hash: Hash): string {
  return printHash(hash, "base16");
}

function narOf(text: string): Uint8Array {
  return Buffer.concat([...dumpTree({ kind: "regular", contents: Buffer.from(text) })]);
}

/** One zstd frame of one raw block, so that nothing has to be compressed. */
async function* framed(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const frame = Buffer.alloc(12 + bytes.length);
  frame.writeUInt32LE(0xfd2fb528, 0);
  // A single segment, whose size follows in four bytes.
  frame.writeUInt8(0xa0, 4);
  frame.writeUInt32LE(bytes.length, 5);
  // The last block, raw.
  frame.writeUIntLE(1 | (bytes.length << 3), 9, 3);
  frame.set(bytes, 12);
  yield frame;
}
