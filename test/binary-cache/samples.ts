// Store paths with contents for the tests of binary caches.

import { type LendingStream, lendingStream } from "../../lib/compression/index.js";
import { dumpTree, type NarTree } from "../../lib/nix/nar/writer.js";
import { parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import { pathInfo } from "../support/path-info.js";

export const secretKey =
  "test.example.org-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
export const publicKey = "test.example.org-1:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

export interface Sample {
  readonly info: ValidPathInfo;
  readonly nar: Buffer;
}

export function file(contents: string | Uint8Array): NarTree {
  return { kind: "regular", contents: Buffer.from(contents) };
}

export function folder(entries: Readonly<Record<string, NarTree>>): NarTree {
  return { kind: "directory", entries: new Map(Object.entries(entries)) };
}

/** `letter` becomes the hash part. */
export function sample(letter: string, tree: NarTree, references: readonly StorePath[] = []): Sample {
  const nar = Buffer.concat([...dumpTree(tree)]);
  return {
    nar,
    info: pathInfo(parseStorePath(`${letter.repeat(32)}-sample-${letter}`), nar, {
      references,
      ultimate: true,
    }),
  };
}

/** Opens the NARs of some samples, in small pieces. */
export function narsOf(...samples: readonly Sample[]): (path: StorePath) => AsyncGenerator<Uint8Array> {
  return async function* open(path) {
    const found = samples.find(({ info }) => info.path === path);
    if (found === undefined) throw new Error(`no sample ${path}`);
    for (let offset = 0; offset < found.nar.length; offset += 40_000) {
      yield found.nar.subarray(offset, offset + 40_000);
    }
  };
}

/** As `narsOf`, lent: each piece is overwritten once the next one is asked for. */
export function lentNarsOf(...samples: readonly Sample[]): (path: StorePath) => LendingStream {
  const open = narsOf(...samples);
  return (path) =>
    lendingStream(async function* lent() {
      const buffer = Buffer.alloc(40_000);
      for await (const piece of open(path)) {
        buffer.set(piece);
        yield buffer.subarray(0, piece.length);
        buffer.fill(0xff);
      }
    });
}

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}
