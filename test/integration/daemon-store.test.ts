// Every operation of a store against a real nix-daemon.
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import { DaemonError } from "../../lib/nix/daemon/error.js";
import { openStore } from "../../lib/nix/daemon/open-store.js";
import type { BasicDerivation, Derivation } from "../../lib/nix/derivation/derivation.js";
import { parseDerivation } from "../../lib/nix/derivation/parser.js";
import { hashDerivationModulo } from "../../lib/nix/derivation/paths.js";
import { computeDerivationPath, printDerivation } from "../../lib/nix/derivation/printer.js";
import { parseNar } from "../../lib/nix/nar/parser.js";
import { dumpPath, dumpTree } from "../../lib/nix/nar/writer.js";
import { byteStringFromText } from "../../lib/nix/path/byte-string.js";
import { makeTextPath } from "../../lib/nix/path/content-address.js";
import { hashBytes, hashesEqual, printHash } from "../../lib/nix/path/hash.js";
import {
  parseAnyStorePath,
  parseFullStorePath,
  printStorePath,
  type StorePath,
  storePathHashPart,
} from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import type { BuildResult } from "../../lib/nix/store/store.js";
import { descendants, shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { until } from "../support/until.js";

const run = promisify(execFile);
let directory: string;
let nix: TestNixStore;
let store: DaemonStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "store-test-"));
  nix = await startNixStore({ directory, name: "main" });
  store = await openStore(nix.remote, { env: nix.env });
});

afterAll(async () => {
  await store?.close();
  await nix?.close();
  await rm(directory, { recursive: true, force: true });
});

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

async function* chunks(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** The derivation of an expression: its path and what is in it. */
async function derivation(expression: string): Promise<{ path: StorePath; drv: Derivation }> {
  const [full] = await nix.instantiate(expression);
  const path = parseFullStorePath(store.storeDir, full ?? "");
  return { path, drv: await store.readDerivation(path) };
}

/** A derivation as a daemon builds it; these tests have none whose inputs are derivations. */
function basic(drv: Derivation): BasicDerivation {
  const { inputDerivations: _, ...rest } = drv;
  return rest;
}

async function built(expression: string): Promise<StorePath> {
  const { path } = await derivation(expression);
  const [answer] = await store.buildPaths([{ kind: "built", drvPath: path, outputs: "*" }]);
  expect(answer?.result.status).toBe("built");
  const map = await store.queryDerivationOutputMap(path);
  const out = map.get("out");
  if (out === undefined) throw new Error("no output");
  return out;
}

/** A text file as a path with its info and NAR, not yet in the store. */
function textFile(name: string, text: string, references: readonly StorePath[] = []) {
  const contents = Buffer.from(text);
  const nar = Buffer.concat([...dumpTree({ kind: "regular", executable: false, contents })]);
  const hash = hashBytes("sha256", contents);
  const path = makeTextPath(store.storeDir, name, hash, references);
  const info: ValidPathInfo = {
    path,
    narHash: hashBytes("sha256", nar),
    narSize: nar.length,
    references: [...references].sort(),
    deriver: undefined,
    signatures: [],
    registrationTime: 0,
    ultimate: false,
    ca: { method: "text", hash },
  };
  return { path, info, nar, contents };
}

function never(why: string): never {
  throw new Error(why);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    expect(error).toBeInstanceOf(DaemonError);
    return (error as DaemonError).code;
  }
  throw new Error("it did not fail");
}

describe("connection", () => {
  it("agrees on a protocol version and knows the daemon", () => {
    expect(store.server.minor).toBeGreaterThanOrEqual(32);
    expect(store.server.minor).toBeLessThanOrEqual(38);
    expect(store.server.nixVersion).toMatch(/^2\.\d+/);
    expect(store.protocol).toBe(`1.${store.server.minor}`);
    expect(store.server.trust).toBe(store.server.minor >= 35 ? "trusted" : "unknown");
  });

  it("knows where the files are", () => {
    expect(store.storeDir).toBe("/nix/store");
    expect(store.realStoreDir).toBe(nix.realStoreDir);
    expect(store.stateDir).toBe(`${nix.root}/nix/var/nix`);
  });

  it("answers a ping", async () => {
    await store.ping();
  });

  it("refuses a socket that is not there", async () => {
    expect(await codeOf(openStore("unix:///nonexistent/socket"))).toBe("connect");
  });

  it("refuses an address of a kind it does not speak", async () => {
    expect(await codeOf(Promise.resolve().then(() => openStore("https://example.org")))).toBe("address");
  });

  it("serves a local store through a daemon of its own", async () => {
    await using local = await openStore(`local?root=${nix.root}`, { env: nix.env });
    const file = textFile("of-local", "local");
    await local.addToStoreNar(file.info, chunks(file.nar));
    expect(await store.isValidPath(file.path)).toBe(true);
  });

  it("is aborted while it connects", async () => {
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    expect(await codeOf(openStore(nix.remote, { env: nix.env, signal: controller.signal }))).toBe("aborted");
  });
});

describe("adding and asking", () => {
  it("adds a NAR and gives back the same bytes and the same info", async () => {
    const file = textFile("hello", "Hello, world\n");
    expect(await store.isValidPath(file.path)).toBe(false);
    expect(await store.queryPathInfo(file.path)).toBeUndefined();
    await store.addToStoreNar(file.info, chunks(file.nar, 7));
    expect(await store.isValidPath(file.path)).toBe(true);
    const info = await store.queryPathInfo(file.path);
    expect(info).toMatchObject({
      path: file.path,
      narSize: file.nar.length,
      references: [],
      ca: file.info.ca,
    });
    expect(info !== undefined && hashesEqual(info.narHash, file.info.narHash)).toBe(true);
    expect(await collect(store.narFromPath(file.path))).toEqual(file.nar);
    expect(await readFile(join(store.realStoreDir, file.path), "utf8")).toBe("Hello, world\n");
  });

  it("adds a valid path a second time without harm, however long the NAR", async () => {
    const contents = randomBytes(3 << 20);
    const nar = Buffer.concat([...dumpTree({ kind: "regular", executable: false, contents })]);
    const hash = hashBytes("sha256", contents);
    const path = makeTextPath(store.storeDir, "twice", hash, []);
    const info = {
      ...textFile("twice", "").info,
      path,
      narHash: hashBytes("sha256", nar),
      narSize: nar.length,
    };
    const item = { ...info, ca: { method: "text" as const, hash } };
    await store.addToStoreNar(item, chunks(nar, 100_000));
    await store.addToStoreNar(item, chunks(nar, 100_000));
    expect((await collect(store.narFromPath(path))).equals(nar)).toBe(true);
  });

  it("refuses a NAR that is shorter or longer than promised, and goes on working", async () => {
    const file = textFile("short", "some text that is long enough");
    const cut = file.nar.subarray(0, file.nar.length - 8);
    expect(await codeOf(store.addToStoreNar(file.info, chunks(cut)))).toBe("size-mismatch");
    const longer = Buffer.concat([file.nar, Buffer.alloc(8)]);
    expect(await codeOf(store.addToStoreNar(file.info, chunks(longer)))).toBe("size-mismatch");
    expect(await store.isValidPath(file.path)).toBe(false);
  });

  it("passes on the daemon's refusal of a wrong hash", async () => {
    const file = textFile("wrong-hash", "text");
    const info = { ...file.info, narHash: hashBytes("sha256", Buffer.from("other")) };
    await expect(store.addToStoreNar(info, chunks(file.nar))).rejects.toMatchObject({
      code: "remote",
      message: expect.stringContaining("hash mismatch"),
    });
    expect(await store.isValidPath(file.path)).toBe(false);
  });

  it("passes on the error of a source that fails and leaves nothing behind", async () => {
    const file = textFile("failing-source", "text ".repeat(10_000));
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield file.nar.subarray(0, 20_000);
      throw new Error("the disk is on fire");
    };
    await expect(store.addToStoreNar(file.info, source())).rejects.toThrow("the disk is on fire");
    expect(await store.isValidPath(file.path)).toBe(false);
  });

  it("adds several paths over one connection", async () => {
    const first = textFile("multi-1", "one");
    const second = textFile("multi-2", printStorePath(store.storeDir, first.path), [first.path]);
    await store.addMultipleToStore(
      (async function* () {
        for (const file of [first, second]) yield { info: file.info, nar: chunks(file.nar) };
      })(),
      2,
    );
    expect(await store.queryValidPaths([first.path, second.path])).toEqual(
      new Set([first.path, second.path]),
    );
    expect(await store.queryReferrers(first.path)).toEqual(new Set([second.path]));
    expect((await store.queryPathInfo(second.path))?.references).toEqual([first.path]);
  });

  it("fails when other paths come than were promised", async () => {
    const file = textFile("multi-3", "three");
    const items = async function* () {
      yield { info: file.info, nar: chunks(file.nar) };
    };
    expect(await codeOf(store.addMultipleToStore(items(), 2))).toBe("size-mismatch");
  });

  it("adds a text and names it as makeTextPath does", async () => {
    const reference = textFile("text-reference", "r");
    await store.addToStoreNar(reference.info, chunks(reference.nar));
    const contents = Buffer.from(`see ${printStorePath(store.storeDir, reference.path)}`);
    const path = await store.addTextToStore("note", contents, [reference.path]);
    expect(path).toBe(makeTextPath(store.storeDir, "note", hashBytes("sha256", contents), [reference.path]));
    expect((await store.queryPathInfo(path))?.references).toEqual([reference.path]);
    expect(await readFile(join(store.realStoreDir, path))).toEqual(contents);
  });

  it("asks about many paths in a pipeline and leaves out what is not there", async () => {
    const files = Array.from({ length: 300 }, (_, i) => textFile(`pipe-${i}`, `pipe ${i}`));
    const present = files.slice(0, 30);
    for (const file of present) await store.addToStoreNar(file.info, chunks(file.nar));
    const infos = await store.queryPathInfos([...files, ...files].map((file) => file.path));
    expect([...infos.keys()].sort()).toEqual(present.map((file) => file.path).sort());
    expect(await store.queryValidPaths(files.map((file) => file.path))).toEqual(
      new Set(present.map((file) => file.path)),
    );
    expect(await store.queryPathInfos([])).toEqual(new Map());
  });

  it("finds a path by its hash part", async () => {
    const file = textFile("by-hash", "by hash");
    expect(await store.queryPathFromHashPart(storePathHashPart(file.path))).toBeUndefined();
    await store.addToStoreNar(file.info, chunks(file.nar));
    expect(await store.queryPathFromHashPart(storePathHashPart(file.path))).toBe(file.path);
  });

  it("lists all valid paths", async () => {
    const file = textFile("listed", "listed");
    await store.addToStoreNar(file.info, chunks(file.nar));
    expect(await store.queryAllValidPaths()).toContain(file.path);
  });

  it("adds signatures", async () => {
    const file = textFile("signed", "signed");
    await store.addToStoreNar(file.info, chunks(file.nar));
    const signature = `key-1:${randomBytes(64).toString("base64")}`;
    await store.addSignatures(file.path, [signature]);
    await store.addSignatures(file.path, [signature]);
    expect((await store.queryPathInfo(file.path))?.signatures).toEqual([signature]);
  });

  it("walks closures, dependencies first", async () => {
    let previous: StorePath[] = [];
    const chain: StorePath[] = [];
    for (let i = 0; i < 12; i++) {
      const text = `link ${i} ${previous.map((path) => printStorePath(store.storeDir, path)).join(" ")}`;
      const file = textFile(`chain-${i}`, text, previous);
      await store.addToStoreNar(file.info, chunks(file.nar));
      chain.push(file.path);
      previous = [file.path];
    }
    const top = chain.at(-1);
    if (top === undefined) throw new Error("no chain");
    const missing = textFile("not-in-closure", "absent").path;
    expect((await store.closure([top, missing])).map((info) => info.path)).toEqual(chain);
  });

  it("fails for the contents of a path that is not valid", async () => {
    const file = textFile("absent", "absent");
    expect(await codeOf(collect(store.narFromPath(file.path)))).toBe("invalid-path");
  });

  it("can break off a download", async () => {
    const contents = randomBytes(5 << 20);
    const path = await store.addTextToStore("large", contents, []);
    for (let i = 0; i < 10; i++) {
      for await (const piece of store.narFromPath(path)) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
    }
    expect(store.poolCounts.busy).toBe(0);
    const hash = createHash("sha256");
    for await (const piece of store.narFromPath(path)) hash.update(piece);
    expect(hash.digest("hex")).toBe(
      printHash((await store.queryPathInfo(path))?.narHash ?? hashBytes("sha256", contents), "base16", false),
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
    const theirs = await collect(store.narFromPath(out));
    const ours = await collect(dumpPath(join(store.realStoreDir, out)));
    expect(ours.equals(theirs)).toBe(true);
    const kinds: string[] = [];
    for await (const event of parseNar(chunks(theirs, 11))) kinds.push(event.kind);
    expect(kinds).toContain("symlink");
  });
});

describe("derivations", () => {
  const expression = shellDerivation(
    "drv",
    "echo hi > $out",
    'FOO = "a\\nb\\t\\"c\\\\"; outputs = ["out" "dev"];',
  );

  it("reads, prints and names them as Nix does", async () => {
    const { path, drv } = await derivation(expression);
    const file = await readFile(join(store.realStoreDir, path));
    expect(Buffer.from(printDerivation(store.storeDir, drv), "latin1").equals(file)).toBe(true);
    expect(computeDerivationPath(store.storeDir, drv)).toBe(path);
    expect(drv.env.get(byteStringFromText("FOO"))).toBe('a\nb\t"c\\');
  });

  it("reads them from the daemon when the file is out of reach", async () => {
    const { path, drv } = await derivation(expression);
    const nowhere = join(directory, "nowhere");
    await using distant = await openStore(`${nix.remote}&real=${nowhere}`, { env: nix.env });
    expect(await distant.readDerivation(path)).toEqual(drv);
  });

  it("says what is wrong with a path that is no derivation", async () => {
    const path = await store.addTextToStore("not-a-derivation", Buffer.from("something else"), []);
    await expect(store.readDerivation(path)).rejects.toThrow(/derivation|Derive/i);
    await expect(store.addTextToStore("text.drv", Buffer.from("something else"), [])).rejects.toMatchObject({
      code: "remote",
    });
  });

  it("knows the outputs", async () => {
    const { path, drv } = await derivation(expression);
    const map = await store.queryDerivationOutputMap(path);
    expect([...map.keys()].sort()).toEqual(["dev", "out"]);
    for (const [name, output] of drv.outputs)
      expect(output).toEqual({ kind: "inputAddressed", path: map.get(name) });
  });

  it("says what would have to be built", async () => {
    const { path } = await derivation(shellDerivation("missing", "echo > $out"));
    const missing = await store.queryMissing([{ kind: "built", drvPath: path, outputs: ["out"] }]);
    expect(missing.willBuild).toEqual([path]);
    expect(missing.willSubstitute).toEqual([]);
  });
});

describe("builds", () => {
  it("builds a derivation, with its log, and calls back before the roots are gone", async () => {
    const { path, drv } = await derivation(
      shellDerivation("logged", "echo one; echo two >&2; echo done > $out"),
    );
    const lines: string[] = [];
    let seen: BuildResult | undefined;
    const result = await store.buildDerivation(path, basic(drv), {
      onLog: (line) => void lines.push(Buffer.from(line).toString()),
      onResult: (each) => {
        seen = each;
      },
    });
    expect(result).toMatchObject({ status: "built", errorMessage: "", timesBuilt: 1 });
    expect(result.stopTime).toBeGreaterThanOrEqual(result.startTime);
    expect(seen).toBe(result);
    expect(lines).toContain("one");
    expect(lines).toContain("two");
    const again = await store.buildDerivation(path, basic(drv));
    expect(again.status).toBe("alreadyValid");
  });

  it("gives long lines in pieces and every line exactly once", async () => {
    const { path, drv } = await derivation(
      shellDerivation(
        "long-lines",
        "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo > $out",
      ),
    );
    const lines: string[] = [];
    await store.buildDerivation(path, basic(drv), {
      onLog: async (line) => {
        lines.push(Buffer.from(line).toString());
        if (lines.length % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
      },
    });
    expect(lines.filter((line) => line.startsWith("line "))).toEqual(
      Array.from({ length: 2000 }, (_, i) => `line ${i}`),
    );
  });

  it("reports a failing build with the daemon's words", async () => {
    const { path, drv } = await derivation(shellDerivation("failing", "echo oops; exit 3"));
    const result = await store.buildDerivation(path, basic(drv));
    expect(result.status).toBe("permanentFailure");
    expect(result.errorMessage).toContain("exit code 3");
    expect(result.errorMessage).not.toContain("\u001b");
  });

  it("ends a build that takes too long", async () => {
    const { path, drv } = await derivation(shellDerivation("slow", "/bin/busybox sleep 100"));
    const result = await store.buildDerivation(path, basic(drv), { timeout: 1 });
    expect(result.status).toBe("timedOut");
  });

  it("ends a build that is silent for too long", async () => {
    const { path, drv } = await derivation(shellDerivation("silent", "/bin/busybox sleep 100; echo"));
    const result = await store.buildDerivation(path, basic(drv), { maxSilentTime: 1 });
    expect(result.status).toBe("timedOut");
  });

  it("ends a build that logs too much", async () => {
    const { path, drv } = await derivation(
      shellDerivation("chatty", "while true; do echo aaaaaaaaaaaaaaaaaaaaaa; done"),
    );
    const result = await store.buildDerivation(path, basic(drv), { maxLogSize: 10_000 });
    expect(result.status).toBe("logLimitExceeded");
  });

  it("kills the build when it is cancelled", async () => {
    const { path, drv } = await derivation(
      shellDerivation("cancelled", "echo begun; exec /bin/busybox sleep 4321"),
    );
    const controller = new AbortController();
    const building = store.buildDerivation(path, basic(drv), {
      signal: controller.signal,
      onLog: (line) => {
        if (Buffer.from(line).toString() === "begun") controller.abort(new Error("not wanted any more"));
      },
    });
    await expect(building).rejects.toMatchObject({ code: "aborted" });
    await until(
      "the end of the builder",
      async () => !(await commands()).some((line) => line.includes("sleep 4321")),
    );
    expect(
      await store.isValidPath(
        [...drv.outputs.values()].flatMap((o) => (o.kind === "inputAddressed" ? [o.path] : []))[0] ?? path,
      ),
    ).toBe(false);
  });

  it("passes on an error of the log's consumer and kills the build", async () => {
    const { path, drv } = await derivation(
      shellDerivation("bad-consumer", "while true; do echo more; /bin/busybox sleep 0.05; done"),
    );
    await expect(
      store.buildDerivation(path, basic(drv), {
        onLog: () => {
          throw new Error("log disk full");
        },
      }),
    ).rejects.toThrow("log disk full");
  });

  it("builds several targets and answers in their order", async () => {
    const good = await derivation(shellDerivation("target-good", "echo > $out"));
    const bad = await derivation(shellDerivation("target-bad", "exit 1"));
    const opaque = textFile("target-opaque", "o");
    await store.addToStoreNar(opaque.info, chunks(opaque.nar));
    const targets = [
      { kind: "built", drvPath: bad.path, outputs: ["out"] },
      { kind: "opaque", path: opaque.path },
      { kind: "built", drvPath: good.path, outputs: "*" },
    ] as const;
    const answers = await store.buildPaths(targets, { keepGoing: true });
    expect(answers.map(({ target }) => target)).toEqual(targets);
    expect(answers.map(({ result }) => result.status)).toEqual(["permanentFailure", "alreadyValid", "built"]);
  });

  it("builds again to check, and notices a build that is not deterministic", async () => {
    const { path, drv } = await derivation(
      shellDerivation(
        "random",
        "/bin/busybox date +%s%N > $out; echo $RANDOM >> $out; /bin/busybox head -c 16 /dev/urandom >> $out",
      ),
    );
    expect((await store.buildDerivation(path, basic(drv))).status).toBe("built");
    expect((await store.buildDerivation(path, basic(drv), { mode: "check" })).status).toBe(
      "notDeterministic",
    );
  });

  it("keeps a built output's deriver and ultimate flag", async () => {
    const { path } = await derivation(shellDerivation("deriver", "echo > $out"));
    await store.buildPaths([{ kind: "built", drvPath: path, outputs: "*" }]);
    const out = (await store.queryDerivationOutputMap(path)).get("out");
    const info = out === undefined ? undefined : await store.queryPathInfo(out);
    expect(info).toMatchObject({ deriver: path, ultimate: true });
  });

  it("stores a log next to the daemon's own", async () => {
    const { path } = await derivation(shellDerivation("add-log", "echo > $out"));
    await store.addBuildLog(path, chunks(Buffer.from("a log from elsewhere\n")));
    expect(await nix.run("nix-store", ["--read-log", printStorePath(store.storeDir, path)])).toBe(
      "a log from elsewhere\n",
    );
  });
});

describe("content-addressed derivations", () => {
  const floating = (name: string, text: string): string =>
    shellDerivation(
      name,
      text,
      '__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";',
    );

  it("learns output paths and realisations from the build", async () => {
    const { path, drv } = await derivation(floating("floating", "echo content > $out"));
    expect((await store.queryDerivationOutputMap(path)).get("out")).toBeUndefined();
    const result = await store.buildDerivation(path, basic(drv));
    expect(result.status).toBe("built");
    const out = result.builtOutputs.get("out");
    expect(out).toBeDefined();
    expect((await store.queryDerivationOutputMap(path)).get("out")).toBe(out);
    const info = out === undefined ? undefined : await store.queryPathInfo(out);
    expect(info?.ca?.method).toBe("nixArchive");
    const modulo = hashDerivationModulo(store.storeDir, drv, () => never("it has no inputs"), true);
    if (modulo.kind === "fixed") throw new Error("it is not fixed");
    const id = { drvPath: path, drvHash: printHash(modulo.hash, "base16"), outputName: "out" };
    expect(await store.queryRealisation(id)).toMatchObject({ outPath: out });
  });

  it("registers a realisation", async () => {
    const file = textFile("realised", "realised");
    await store.addToStoreNar(file.info, chunks(file.nar));
    const id = {
      drvPath: parseAnyStorePath(store.storeDir, `${"0".repeat(32)}-other.drv`),
      drvHash: `sha256:${"ab".repeat(32)}`,
      outputName: "out",
    };
    expect(await store.queryRealisation(id)).toBeUndefined();
    await store.registerDrvOutput(id, { outPath: file.path, signatures: [] });
    expect(await store.queryRealisation(id)).toEqual({ outPath: file.path, signatures: [] });
  });
});

describe("substitution", () => {
  it("fetches a path from a substituter when asked to", async () => {
    const cache = join(directory, "cache");
    const file = textFile("substituted", "from the cache");
    await store.addToStoreNar(file.info, chunks(file.nar));
    await nix.run("nix", ["copy", "--to", `file://${cache}`, printStorePath(store.storeDir, file.path)]);
    const other = await startNixStore({
      directory,
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
    const session = await store.rootsSession();
    await session.addTempRoots([kept.path, kept.path]);
    for (const file of [kept, rooted, dead]) await store.addToStoreNar(file.info, chunks(file.nar));
    const link = join(directory, "links", "rooted");
    await store.addPermRoot(rooted.path, link);
    await store.addPermRoot(rooted.path, link);
    expect(await readlink(link)).toBe(printStorePath(store.storeDir, rooted.path));
    const roots = await store.findRoots();
    expect(roots).toContainEqual({ link, path: rooted.path });

    // The pool's connections have taken temporary roots of their own, so ask through another store.
    await using other = await openStore(nix.remote, { env: nix.env });
    const live = await other.collectGarbage({ action: "returnLive" });
    for (const file of [kept, rooted])
      expect(live.paths).toContain(printStorePath(store.storeDir, file.path));
    await session.close();
    await store.close();
    store = await openStore(nix.remote, { env: nix.env });
    await until("the roots to go", async () => {
      const now = await store.collectGarbage({ action: "returnDead" });
      return [kept, dead].every((file) => now.paths.includes(printStorePath(store.storeDir, file.path)));
    });
    const freed = await store.collectGarbage({ action: "deleteSpecific", paths: [dead.path] });
    expect(freed.paths).toEqual([printStorePath(store.storeDir, dead.path)]);
    expect(freed.bytesFreed).toBeGreaterThan(0);
    expect(await store.isValidPath(dead.path)).toBe(false);
    expect(await store.isValidPath(rooted.path)).toBe(true);
    expect(existsSync(join(store.realStoreDir, dead.path))).toBe(false);
  });

  it("verifies the store", async () => {
    expect(await store.verifyStore(false, false)).toBe(false);
  });
});

describe("pool and lost connections", () => {
  it("never has more connections than allowed, and serves all", async () => {
    await using small = await openStore(nix.remote, { env: nix.env, poolSize: 2 });
    const paths = Array.from({ length: 50 }, (_, i) => textFile(`pool-${i}`, `${i}`).path);
    const questions = paths.map((path) => small.isValidPath(path));
    expect(small.poolCounts.busy).toBeLessThanOrEqual(2);
    expect(small.poolCounts.waiting).toBeGreaterThan(0);
    await Promise.all(questions);
    expect(small.poolCounts).toEqual({ busy: 0, idle: 2, waiting: 0 });
  });

  it("goes on after the daemon was restarted, and fails while it is gone", async () => {
    const own = await startNixStore({ directory, name: "restart" });
    try {
      await using theirs = await openStore(own.remote, { env: own.env });
      const file = textFile("restarted", "r");
      await theirs.addToStoreNar(file.info, chunks(file.nar));
      await own.stopDaemon();
      expect(await codeOf(theirs.isValidPath(file.path))).toBe("connect");
      await own.startDaemon();
      expect(await theirs.isValidPath(file.path)).toBe(true);
      await own.stopDaemon();
      await own.startDaemon();
      expect(await theirs.isValidPath(file.path)).toBe(true);
    } finally {
      await own.close();
    }
  });

  it("ends a build whose daemon dies, with an error", async () => {
    const own = await startNixStore({ directory, name: "dying" });
    try {
      await using theirs = await openStore(own.remote, { env: own.env });
      const [full] = await own.instantiate(shellDerivation("dying", "echo begun; /bin/busybox sleep 1000"));
      const path = parseFullStorePath(theirs.storeDir, full ?? "");
      const drv = await theirs.readDerivation(path);
      const building = theirs.buildDerivation(path, basic(drv), {
        onLog: (line) => {
          if (Buffer.from(line).toString() === "begun") void own.stopDaemon();
        },
      });
      expect(await codeOf(building)).toBe("closed");
    } finally {
      await own.close();
    }
  });

  it("refuses everything after close, builds that are under way included", async () => {
    const closing = await openStore(nix.remote, { env: nix.env });
    const { path, drv } = await derivation(shellDerivation("closing", "echo begun; /bin/busybox sleep 5432"));
    const building = closing.buildDerivation(path, basic(drv), {
      onLog: (line) => {
        if (Buffer.from(line).toString() === "begun") void closing.close();
      },
    });
    expect(await codeOf(building)).toBe("closed");
    expect(await codeOf(closing.isValidPath(path))).toBe("closed");
    expect(await codeOf(closing.rootsSession())).toBe("closed");
    await until(
      "the end of the builder",
      async () => !(await commands()).some((line) => line.includes("sleep 5432")),
    );
  });

  it("leaves no daemon worker behind", async () => {
    if (nix.daemonPid === undefined) throw new Error("no daemon");
    const pid = nix.daemonPid;
    await store.close();
    await until("the end of the workers", async () => (await descendants(pid)).length === 0);
    store = await openStore(nix.remote, { env: nix.env });
  });
});

/** The command lines of all processes. */
async function commands(): Promise<string[]> {
  return (await run("ps", ["-eo", "args"])).stdout.split("\n");
}

describe("another store directory", () => {
  it("is used for every path", async () => {
    const other = await startNixStore({ directory, name: "other-dir", storeDir: "/other/store" });
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
