/** What is in a NAR, as binary caches publish it beside the NAR (`<hash>.ls`). */

import { anObject, aText, checkArgument, checkMembers } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";
import { type ByteString, byteStringToText } from "../path/byte-string.js";
import type { NarEvent } from "./parser.js";

/** A file, symlink or folder of a NAR; names and targets are UTF-8 texts. */
export type NarListing =
  | {
      readonly type: "regular";
      readonly size: number;
      readonly executable: boolean;
      /** Byte offset of the contents in the uncompressed NAR; absent when not known. */
      readonly narOffset?: number;
    }
  | { readonly type: "symlink"; readonly target: string }
  | { readonly type: "directory"; readonly entries: ReadonlyMap<string, NarListing> };

type MutableDirectory = { readonly type: "directory"; readonly entries: Map<string, NarListing> };

/** Texts of listings are UTF-8, file names need not be. */
function decode(text: ByteString): string {
  const decoded = byteStringToText(text);
  if (decoded.includes("\ufffd")) {
    throw new NixFormatError("nar", `a listing cannot hold the name '${decoded}', which is not UTF-8`);
  }
  return decoded;
}

/** Collects a listing from the events of a NAR. */
export class ListingBuilder {
  #root: NarListing | undefined;
  readonly #open: MutableDirectory[] = [];

  /** Takes the next event. @throws NixFormatError for a name or target that is not UTF-8 */
  add(event: NarEvent): void {
    switch (event.kind) {
      case "directory": {
        const directory: MutableDirectory = { type: "directory", entries: new Map() };
        this.#place(event.path, directory);
        this.#open.push(directory);
        break;
      }
      case "endDirectory":
        this.#open.pop();
        break;
      case "symlink":
        this.#place(event.path, { type: "symlink", target: decode(event.target) });
        break;
      case "regular":
        this.#place(event.path, {
          type: "regular",
          size: event.size,
          executable: event.executable,
          narOffset: event.offset,
        });
        break;
      case "contents":
        break;
    }
  }

  /** @throws NixFormatError when no event was added */
  finish(): NarListing {
    if (this.#root === undefined) throw new NixFormatError("nar", "the NAR is empty");
    return this.#root;
  }

  #place(path: ByteString, node: NarListing): void {
    const parent = this.#open.at(-1);
    if (parent === undefined) this.#root = node;
    else parent.entries.set(decode(path.slice(path.lastIndexOf("/") + 1) as ByteString), node);
  }
}

/** Order of the UTF-8 bytes of two texts, which is not that of their UTF-16 units. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return codePointRank(left) - codePointRank(right);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all other units. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** A node without what is in it. */
function printLeaf(node: Exclude<NarListing, { readonly type: "directory" }>): string {
  if (node.type === "symlink") return JSON.stringify({ type: node.type, target: node.target });
  const { type, size, executable, narOffset } = node;
  return JSON.stringify({ type, size, executable, ...(narOffset === undefined ? {} : { narOffset }) });
}

/**
 * JSON text of a listing: `{"version":1,"root":…}`, entries in byte order. Offsets are written where they are known:
 * with them a reader can fetch one file out of an uncompressed NAR. Trees of any depth are printed, without recursion.
 */
export function printListing(root: NarListing): string {
  checkMembers("printListing", root, { type: aText });
  const pieces: string[] = ['{"version":1,"root":'];
  /** What is still to be printed, last first. */
  const stack: (NarListing | string)[] = ["}", root];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (typeof next === "string") pieces.push(next);
    else if (next.type !== "directory") pieces.push(printLeaf(next));
    else {
      pieces.push('{"type":"directory","entries":{');
      stack.push("}}");
      const entries = [...next.entries].sort(([a], [b]) => compareUtf8(b, a));
      for (const [index, [name, child]] of entries.entries()) {
        const comma = index === entries.length - 1 ? "" : ",";
        stack.push(child, `${comma}${JSON.stringify(name)}:`);
      }
    }
  }
  return pieces.join("");
}

/** Finds a node by its path (`nix-support/failed`). */
export function findInListing(root: NarListing, path: string): NarListing | undefined {
  checkArgument("findInListing", "root", root, anObject);
  checkArgument("findInListing", "path", path, aText);
  let node: NarListing | undefined = root;
  for (const part of path.split("/")) {
    if (part === "") continue;
    node = node?.type === "directory" ? node.entries.get(part) : undefined;
  }
  return node;
}
