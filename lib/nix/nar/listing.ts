/** What is in a NAR, as binary caches publish it beside the NAR (`<hash>.ls`). */

import { NixFormatError } from "../errors.js";
import { type ByteString, byteStringToText } from "../path/byte-string.js";
import type { NarEvent } from "./parser.js";

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

interface JsonNode {
  type: string;
  size?: number;
  executable?: boolean;
  narOffset?: number;
  target?: string;
  entries?: Record<string, JsonNode>;
}

/** Iterative, since nesting is up to whoever made the tree. */
function toJson(root: NarListing): JsonNode {
  const result: JsonNode = { type: root.type };
  const pending: { readonly node: NarListing; readonly json: JsonNode }[] = [{ node: root, json: result }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, json } = next;
    switch (node.type) {
      case "regular":
        json.size = node.size;
        json.executable = node.executable;
        if (node.narOffset !== undefined) json.narOffset = node.narOffset;
        break;
      case "symlink":
        json.target = node.target;
        break;
      case "directory":
        json.entries = {};
        for (const [name, child] of [...node.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
          const childJson: JsonNode = { type: child.type };
          Object.defineProperty(json.entries, name, {
            value: childJson,
            enumerable: true,
            configurable: true,
            writable: true,
          });
          pending.push({ node: child, json: childJson });
        }
        break;
    }
  }
  return result;
}

/**
 * JSON text of a listing: `{"version":1,"root":…}`. Offsets are written where they are known: with them a reader can
 * fetch one file out of an uncompressed NAR.
 */
export function printListing(root: NarListing): string {
  return JSON.stringify({ version: 1, root: toJson(root) });
}

/** Finds a node by its path (`nix-support/failed`). */
export function findInListing(root: NarListing, path: string): NarListing | undefined {
  let node: NarListing | undefined = root;
  for (const part of path.split("/")) {
    if (part === "") continue;
    node = node?.type === "directory" ? node.entries.get(part) : undefined;
  }
  return node;
}
