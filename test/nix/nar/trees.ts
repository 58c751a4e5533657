/** Trees and streams that the tests of NARs share. */
import * as fc from "fast-check";
import { type NarEvent, type NarTree, parseNar } from "../../../lib/nix/index.js";

/** All bytes of a stream. */
export async function collect(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

/** Cuts bytes into pieces of the given sizes, so that parsers meet every boundary. */
export async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (let index = 0; offset < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    yield bytes.subarray(offset, offset + size);
    offset += size;
  }
}

/** All events of a NAR, contents copied. */
export async function events(stream: AsyncIterable<Uint8Array>): Promise<NarEvent[]> {
  const all: NarEvent[] = [];
  for await (const event of parseNar(stream)) {
    all.push(event.kind === "contents" ? { ...event, bytes: Uint8Array.from(event.bytes) } : event);
  }
  return all;
}

/** The tree that a NAR holds. */
export async function treeOf(stream: AsyncIterable<Uint8Array>): Promise<NarTree> {
  type Directory = { kind: "directory"; entries: Map<string, NarTree> };
  let root: NarTree | undefined;
  const open: Directory[] = [];
  let file: { chunks: Uint8Array[]; place: (contents: Uint8Array) => void } | undefined;
  const place = (path: string, tree: NarTree): void => {
    const parent = open.at(-1);
    const name = Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1").toString("utf8");
    if (parent === undefined) root = tree;
    else parent.entries.set(name, tree);
  };
  const finishFile = (): void => {
    file?.place(Buffer.concat(file.chunks));
    file = undefined;
  };
  for await (const event of parseNar(stream)) {
    if (event.kind !== "contents") finishFile();
    switch (event.kind) {
      case "directory": {
        const directory: Directory = { kind: "directory", entries: new Map() };
        place(event.path, directory);
        open.push(directory);
        break;
      }
      case "endDirectory":
        open.pop();
        break;
      case "symlink":
        place(event.path, { kind: "symlink", target: Buffer.from(event.target, "latin1").toString("utf8") });
        break;
      case "regular": {
        const { path, executable } = event;
        file = {
          chunks: [],
          place: (contents) =>
            place(path, { kind: "regular", contents: new Uint8Array(contents), executable }),
        };
        break;
      }
      case "contents":
        file?.chunks.push(Uint8Array.from(event.bytes));
        break;
    }
  }
  finishFile();
  if (root === undefined) throw new Error("no root");
  return root;
}

const fileName = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .filter((name) => !/[/\0]/.test(name) && name !== "." && name !== "..");
/** Any tree. */
export const { tree: anyTree } = fc.letrec<{ tree: NarTree; directory: NarTree; leaf: NarTree }>((tie) => ({
  leaf: fc.oneof(
    fc.record({
      kind: fc.constant("regular" as const),
      contents: fc.uint8Array({ maxLength: 70 }),
      executable: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("symlink" as const), target: fileName }),
  ),
  directory: fc
    .dictionary(fileName, tie("tree"), { maxKeys: 4, noNullPrototype: true })
    .map((entries) => ({ kind: "directory" as const, entries: new Map(Object.entries(entries)) })),
  tree: fc.oneof({ maxDepth: 4 }, tie("leaf"), tie("directory")),
}));

/** The given pieces. */
export async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

/** Reads to the end; how many pieces there were. */
export async function drain(parts: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of parts) count++;
  return count;
}
