// Paths of a store behind a real nix-daemon: adding, asking, substitution, roots.

import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openStore } from "../../../lib/nix/daemon/open-store.js";
import { parseDerivation } from "../../../lib/nix/derivation/parser.js";
import { computeDerivationPath } from "../../../lib/nix/derivation/printer.js";
import { parseNar } from "../../../lib/nix/nar/parser.js";
import { dumpPath, dumpTree } from "../../../lib/nix/nar/writer.js";
import { makeTextPath } from "../../../lib/nix/path/content-address.js";
import { hashBytes, hashesEqual, printHash } from "../../../lib/nix/path/hash.js";
import {
  parseFullStorePath,
  printStorePath,
  type StorePath,
  storePathHashPart,
} from "../../../lib/nix/path/store-path.js";
import { built, chunks, codeOf, collect, main, textFile, useMainStore } from "../../support/daemon-store.js";
import { shellDerivation, startNixStore } from "../../support/nix.js";
import { until } from "../../support/until.js";

useMainStore();

describe("adding and asking", () => {
  it("adds a NAR and gives back the same bytes and the same info", async () => {
    const file = textFile("hello", "Hello, world\n");
    expect(await main.store.isValidPath(file.path)).toBe(false);
    expect(await main.store.queryPathInfo(file.path)).toBeUndefined();
    await main.store.addToStoreNar(file.info, chunks(file.nar, 7));
    expect(await main.store.isValidPath(file.path)).toBe(true);
    const info = await main.store.queryPathInfo(file.path);
    expect(info).toMatchObject({
      path: file.path,
      narSize: file.nar.length,
      references: [],
      ca: file.info.ca,
    });
    expect(info !== undefined && hashesEqual(info.narHash, file.info.narHash)).toBe(true);
    expect(await collect(main.store.narFromPath(file.path))).toEqual(file.nar);
    expect(await readFile(join(main.store.realStoreDir, file.path), "utf8")).toBe("Hello, world\n");
  });

  it("adds a valid path a second time without harm, however long the NAR", async () => {
    const contents = randomBytes(3 << 20);
    const nar = Buffer.concat([...dumpTree({ kind: "regular", executable: false, contents })]);
    const hash = hashBytes("sha256", contents);
    const path = makeTextPath(main.store.storeDir, "twice", hash, []);
    const info = {
      ...textFile("twice", "").info,
      path,
      narHash: hashBytes("sha256", nar),
      narSize: nar.length,
    };
    const item = { ...info, ca: { method: "text" as const, hash } };
    await main.store.addToStoreNar(item, chunks(nar, 100_000));
    await main.store.addToStoreNar(item, chunks(nar, 100_000));
    expect((await collect(main.store.narFromPath(path))).equals(nar)).toBe(true);
  });

  it("refuses a NAR that is shorter or longer than promised, and goes on working", async () => {
    const file = textFile("short", "some text that is long enough");
    const cut = file.nar.subarray(0, file.nar.length - 8);
    expect(await codeOf(main.store.addToStoreNar(file.info, chunks(cut)))).toBe("size-mismatch");
    const longer = Buffer.concat([file.nar, Buffer.alloc(8)]);
    expect(await codeOf(main.store.addToStoreNar(file.info, chunks(longer)))).toBe("size-mismatch");
    expect(await main.store.isValidPath(file.path)).toBe(false);
  });

  it("passes on the daemon's refusal of a wrong hash", async () => {
    const file = textFile("wrong-hash", "text");
    const info = { ...file.info, narHash: hashBytes("sha256", Buffer.from("other")) };
    await expect(main.store.addToStoreNar(info, chunks(file.nar))).rejects.toMatchObject({
      code: "remote",
      message: expect.stringContaining("hash mismatch"),
    });
    expect(await main.store.isValidPath(file.path)).toBe(false);
  });

  it("passes on the error of a source that fails and leaves nothing behind", async () => {
    const file = textFile("failing-source", "text ".repeat(10_000));
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield file.nar.subarray(0, 20_000);
      throw new Error("the disk is on fire");
    };
    await expect(main.store.addToStoreNar(file.info, source())).rejects.toThrow("the disk is on fire");
    expect(await main.store.isValidPath(file.path)).toBe(false);
  });

  it("adds several paths over one connection", async () => {
    const first = textFile("multi-1", "one");
    const second = textFile("multi-2", printStorePath(main.store.storeDir, first.path), [first.path]);
    await main.store.addMultipleToStore(
      (async function* () {
        for (const file of [first, second]) yield { info: file.info, nar: chunks(file.nar) };
      })(),
      2,
    );
    expect(await main.store.queryValidPaths([first.path, second.path])).toEqual(
      new Set([first.path, second.path]),
    );
    expect(await main.store.queryReferrers(first.path)).toEqual(new Set([second.path]));
    expect((await main.store.queryPathInfo(second.path))?.references).toEqual([first.path]);
  });

  it("fails when other paths come than were promised", async () => {
    const file = textFile("multi-3", "three");
    const items = async function* () {
      yield { info: file.info, nar: chunks(file.nar) };
    };
    expect(await codeOf(main.store.addMultipleToStore(items(), 2))).toBe("size-mismatch");
  });

  it("adds a text and names it as makeTextPath does", async () => {
    const reference = textFile("text-reference", "r");
    await main.store.addToStoreNar(reference.info, chunks(reference.nar));
    const contents = Buffer.from(`see ${printStorePath(main.store.storeDir, reference.path)}`);
    const path = await main.store.addTextToStore("note", contents, [reference.path]);
    expect(path).toBe(
      makeTextPath(main.store.storeDir, "note", hashBytes("sha256", contents), [reference.path]),
    );
    expect((await main.store.queryPathInfo(path))?.references).toEqual([reference.path]);
    expect(await readFile(join(main.store.realStoreDir, path))).toEqual(contents);
  });

  it("asks about many paths in a pipeline and leaves out what is not there", async () => {
    const files = Array.from({ length: 300 }, (_, i) => textFile(`pipe-${i}`, `pipe ${i}`));
    const present = files.slice(0, 30);
    for (const file of present) await main.store.addToStoreNar(file.info, chunks(file.nar));
    const infos = await main.store.queryPathInfos([...files, ...files].map((file) => file.path));
    expect([...infos.keys()].sort()).toEqual(present.map((file) => file.path).sort());
    expect(await main.store.queryValidPaths(files.map((file) => file.path))).toEqual(
      new Set(present.map((file) => file.path)),
    );
    expect(await main.store.queryPathInfos([])).toEqual(new Map());
  });

  it("finds a path by its hash part", async () => {
    const file = textFile("by-hash", "by hash");
    expect(await main.store.queryPathFromHashPart(storePathHashPart(file.path))).toBeUndefined();
    await main.store.addToStoreNar(file.info, chunks(file.nar));
    expect(await main.store.queryPathFromHashPart(storePathHashPart(file.path))).toBe(file.path);
  });

  it("lists all valid paths", async () => {
    const file = textFile("listed", "listed");
    await main.store.addToStoreNar(file.info, chunks(file.nar));
    expect(await main.store.queryAllValidPaths()).toContain(file.path);
  });

  it("adds signatures", async () => {
    const file = textFile("signed", "signed");
    await main.store.addToStoreNar(file.info, chunks(file.nar));
    const signature = `key-1:${randomBytes(64).toString("base64")}`;
    await main.store.addSignatures(file.path, [signature]);
    await main.store.addSignatures(file.path, [signature]);
    expect((await main.store.queryPathInfo(file.path))?.signatures).toEqual([signature]);
  });

  it("walks closures, dependencies first", async () => {
    let previous: StorePath[] = [];
    const chain: StorePath[] = [];
    for (let i = 0; i < 12; i++) {
      const text = `link ${i} ${previous.map((path) => printStorePath(main.store.storeDir, path)).join(" ")}`;
      const file = textFile(`chain-${i}`, text, previous);
      await main.store.addToStoreNar(file.info, chunks(file.nar));
      chain.push(file.path);
      previous = [file.path];
    }
    const top = chain.at(-1);
    if (top === undefined) throw new Error("no chain");
    const missing = textFile("not-in-closure", "absent").path;
    expect((await main.store.closure([top, missing])).map((info) => info.path)).toEqual(chain);
  });

  it("fails for the contents of a path that is not valid", async () => {
    const file = textFile("absent", "absent");
    expect(await codeOf(collect(main.store.narFromPath(file.path)))).toBe("invalid-path");
  });

  it("can break off a download", async () => {
    const contents = randomBytes(5 << 20);
    const path = await main.store.addTextToStore("large", contents, []);
    for (let i = 0; i < 10; i++) {
      for await (const piece of main.store.narFromPath(path)) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
    }
    expect(main.store.poolCounts.busy).toBe(0);
    const hash = createHash("sha256");
    for await (const piece of main.store.narFromPath(path)) hash.update(piece);
    expect(hash.digest("hex")).toBe(
      printHash(
        (await main.store.queryPathInfo(path))?.narHash ?? hashBytes("sha256", contents),
        "base16",
        false,
      ),
    );
  });
});

describe("trees", () => {
  it("writes the NAR of an output as the daemon does, from the files themselves", async () => {
    const out = await built(
      shellDerivation(
        "tree",
        "/bin/busybox mkdir -p $out/bin $out/a/b; echo x > $out/a/b/file; echo run > $out/bin/run; /bin/busybox chmod +x $out/bin/run; /bin/busybox ln -s ../a $out/bin/link",
      ),
    );
    const theirs = await collect(main.store.narFromPath(out));
    const ours = await collect(dumpPath(join(main.store.realStoreDir, out)));
    expect(ours.equals(theirs)).toBe(true);
    const kinds: string[] = [];
    for await (const event of parseNar(chunks(theirs, 11))) kinds.push(event.kind);
    expect(kinds).toContain("symlink");
  });
});

describe("substitution", () => {
  it("fetches a path from a substituter when asked to", async () => {
    const cache = join(main.directory, "cache");
    const file = textFile("substituted", "from the cache");
    await main.store.addToStoreNar(file.info, chunks(file.nar));
    await main.nix.run("nix", [
      "copy",
      "--to",
      `file://${cache}`,
      printStorePath(main.store.storeDir, file.path),
    ]);
    const other = await startNixStore({
      directory: main.directory,
      name: "substituting",
      extraConf: `substituters = file://${cache}\nrequire-sigs = false\n`,
    });
    try {
      await using theirs = await openStore(other.remote, { env: other.env });
      expect((await theirs.queryMissing([{ kind: "opaque", path: file.path }])).willSubstitute).toEqual([
        file.path,
      ]);
      expect(await theirs.queryValidPaths([file.path])).toEqual(new Set());
      await theirs.ensurePath(file.path);
      expect(await theirs.isValidPath(file.path)).toBe(true);
      expect(await codeOf(theirs.ensurePath(textFile("nowhere", "n").path, { useSubstitutes: false }))).toBe(
        "remote",
      );
    } finally {
      await other.close();
    }
  });
});

describe("roots", () => {
  it("protects paths as long as the session lives, and by a permanent link", async () => {
    const kept = textFile("kept", "kept");
    const rooted = textFile("rooted", "rooted");
    const dead = textFile("dead", "dead");
    const session = await main.store.rootsSession();
    await session.addTempRoots([kept.path, kept.path]);
    for (const file of [kept, rooted, dead]) await main.store.addToStoreNar(file.info, chunks(file.nar));
    const link = join(main.directory, "links", "rooted");
    await main.store.addPermRoot(rooted.path, link);
    await main.store.addPermRoot(rooted.path, link);
    expect(await readlink(link)).toBe(printStorePath(main.store.storeDir, rooted.path));
    const roots = await main.store.findRoots();
    expect(roots).toContainEqual({ link, path: rooted.path });

    // The pool's connections have taken temporary roots of their own, so ask through another store.
    await using other = await openStore(main.nix.remote, { env: main.nix.env });
    const live = await other.collectGarbage({ action: "returnLive" });
    for (const file of [kept, rooted])
      expect(live.paths).toContain(printStorePath(main.store.storeDir, file.path));
    await session.close();
    await main.reopen();
    await until("the roots to go", async () => {
      const now = await main.store.collectGarbage({ action: "returnDead" });
      return [kept, dead].every((file) => now.paths.includes(printStorePath(main.store.storeDir, file.path)));
    });
    const freed = await main.store.collectGarbage({ action: "deleteSpecific", paths: [dead.path] });
    expect(freed.paths).toEqual([printStorePath(main.store.storeDir, dead.path)]);
    expect(freed.bytesFreed).toBeGreaterThan(0);
    expect(await main.store.isValidPath(dead.path)).toBe(false);
    expect(await main.store.isValidPath(rooted.path)).toBe(true);
    expect(existsSync(join(main.store.realStoreDir, dead.path))).toBe(false);
  });

  it("verifies the store", async () => {
    expect(await main.store.verifyStore(false, false)).toBe(false);
  });
});

describe("another store directory", () => {
  it("is used for every path", async () => {
    const other = await startNixStore({
      directory: main.directory,
      name: "other-dir",
      storeDir: "/other/store",
    });
    try {
      await using theirs = await openStore(other.remote, { env: other.env });
      expect(theirs.storeDir).toBe("/other/store");
      const path = await theirs.addTextToStore("here", Buffer.from("here"), []);
      expect(await readFile(join(other.realStoreDir, path), "utf8")).toBe("here");
      const [full] = await other.instantiate(shellDerivation("there", "echo > $out"));
      expect(full).toMatch(/^\/other\/store\//);
      const drvPath = parseFullStorePath(theirs.storeDir, full ?? "");
      const text = await readFile(join(other.realStoreDir, drvPath));
      expect(computeDerivationPath(theirs.storeDir, parseDerivation(theirs.storeDir, "there", text))).toBe(
        drvPath,
      );
    } finally {
      await other.close();
    }
  });
});
