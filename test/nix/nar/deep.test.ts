/** Deep and broad archives: nothing recurses, and time is linear. */
import { execFile } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NarBoundary } from "../../../lib/nix/daemon/nar.js";
import {
  dumpPath,
  dumpTree,
  type NarTree,
  parseListing,
  printListing,
  restoreNar,
} from "../../../lib/nix/index.js";
import { ListingBuilder } from "../../../lib/nix/nar/listing.js";
import { parseNar } from "../../../lib/nix/nar/parser.js";
import { narStrings } from "../../../lib/nix/nar/writer.js";
import { expectLinear } from "../../support/linear.js";
import { collect, cut, drain, events, stream } from "./trees.js";

function nested(depth: number): NarTree {
  let tree: NarTree = { kind: "symlink", target: "x" };
  for (let level = 0; level < depth; level++) tree = { kind: "directory", entries: new Map([["a", tree]]) };
  return tree;
}

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "deep-"));
});
// The program goes down by folder; Node's `rm` names each by its whole path, which took half of the time of this file.
afterEach(() => promisify(execFile)("rm", ["-rf", root]));

describe("an archive of nested folders", () => {
  it("is written, read, delimited and listed, 4,000 folders deep", async () => {
    const nar = await collect(dumpTree(nested(4000)));
    expect(new NarBoundary().push(Buffer.concat([nar, Buffer.from("more")]))).toBe(nar.length);
    const listing = new ListingBuilder();
    for await (const event of parseNar(stream(nar))) listing.add(event);
    const text = printListing(listing.finish());
    expect(text).toContain(`${'{"type":"directory","entries":{"a":'.repeat(4000)}{"type":"symlink"`);
    expect(printListing(parseListing(text))).toBe(text);
  });

  it("is restored and packed again as deep as paths go, and refused by the system beyond", async () => {
    const deep = await collect(dumpTree(nested(1900)));
    await restoreNar(stream(deep), join(root, "t"));
    expect(await collect(dumpPath(join(root, "t")))).toEqual(deep);
    const deeper = await collect(dumpTree(nested(4000)));
    await expect(restoreNar(stream(deeper), join(root, "u"))).rejects.toMatchObject({ code: "ENAMETOOLONG" });
  });

  it("is refused when the names are long as well, before paths fill the memory", async () => {
    const open = narStrings("(", "type", "directory", "entry", "(", "name", "n".repeat(4000), "node");
    const parts = Array.from({ length: 4000 }, () => open);
    const nar = Buffer.concat([narStrings("nix-archive-1"), ...parts]);
    await expect(drain(parseNar(stream(nar)))).rejects.toMatchObject({
      code: "nar",
      message: expect.stringContaining("a path is too long"),
    });
  });
});

describe("an archive takes linear time", () => {
  const wide = (leaf: NarTree) => (size: number) => {
    const entries = Array.from({ length: size / 200 }, (_, index): [string, NarTree] => [`f${index}`, leaf]);
    return Buffer.concat([...dumpTree({ kind: "directory", entries: new Map(entries) })]);
  };

  it.each([
    ["of many links", wide({ kind: "symlink", target: "x" })],
    ["of many empty files", wide({ kind: "regular", contents: new Uint8Array(0) })],
    [
      "of one file",
      (size: number) => Buffer.concat([...dumpTree({ kind: "regular", contents: Buffer.alloc(size) })]),
    ],
  ])("%s", async (_, make) => {
    await expectLinear(make, (nar) => events(stream(nar)), 1 << 20);
    await expectLinear(make, (nar) => new NarBoundary().push(nar), 1 << 20);
  });

  it("in pieces of one byte", async () => {
    const make = (size: number): Buffer =>
      Buffer.concat([...dumpTree({ kind: "regular", contents: Buffer.alloc(size) })]);
    await expectLinear(make, (nar) => drain(parseNar(cut(nar, [1]))), 1 << 18);
  });
});
