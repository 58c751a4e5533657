// Builders upload into the bucket themselves: the real pair, an S3 server, and the real Nix as reader of the bucket.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseNarInfo } from "../../lib/nix/index.js";
import { parseStoreDir } from "../../lib/nix/path/store-path.js";
import { publicKey, secretKey } from "../binary-cache/samples.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { type S3Server, type StoredS3Object, startS3Server } from "../support/s3-server/index.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let s3: S3Server;
let scratch: string;

const pair = usePair(async () => {
  scratch = await mkdtemp(join(tmpdir(), "presigned-"));
  await writeFile(join(scratch, "key"), secretKey);
  s3 = await startS3Server({ publicRead: true });
  for (const [id, begun] of [
    ["old", new Date(0)],
    ["young", new Date()],
  ] as const) {
    const upload = { bucket: "cache", key: `nar/${id}.nar.zst`, headers: {}, begun, parts: new Map() };
    (s3.uploads as Map<string, typeof upload>).set(id, upload);
  }
  const store = s3.uri("cache", {
    compression: "zstd",
    "write-nar-listing": "true",
    "write-debug-info": "true",
    "secret-key": join(scratch, "key"),
  });
  return {
    databaseUrl: await testDatabase(),
    runner: { remoteStoreAddr: [store], usePresignedUploads: true },
    runnerEnv: {
      AWS_ACCESS_KEY_ID: s3.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.keys.secretAccessKey,
    },
    // One that fetches its inputs beforehand, and one whose builds fetch them.
    builders: [{ nixConf: readsBucket(), settings: { useSubstitutes: true } }, { nixConf: readsBucket() }],
  };
});
afterAll(async () => {
  await s3?.close();
  await rm(scratch, { recursive: true, force: true });
});

function readsBucket(): string {
  return `extra-substituters = ${s3.url}/cache\ntrusted-public-keys = ${publicKey}`;
}

function object(key: string): StoredS3Object {
  const found = s3.objects.get("cache")?.get(key);
  if (found === undefined) throw new Error(`there is no ${key} in the bucket`);
  return found;
}

function text(key: string): string {
  return object(key).body.toString();
}

function hashPart(path: string): string {
  return basename(path).slice(0, 32);
}

async function succeed(...expressions: readonly string[]): Promise<string[]> {
  const ids = await pair().build(...expressions);
  await pair().tables.waitFinished(ids);
  const rows = await pair().tables.rows(ids);
  expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual(ids.map(() => 0));
  return rows.BuildOutputs.map(({ path }) => String(path));
}

function puts(match: (key: string) => boolean): string[] {
  return s3.requests.filter(({ method, key }) => method === "PUT" && match(key)).map(({ key }) => key);
}

const first = shellDerivation("first", "echo hello from first; echo first > $out");

test("uploads that nobody will complete are aborted at start", async () => {
  await until("the old upload to be gone", () => Promise.resolve(!s3.uploads.has("old")));
  expect(s3.uploads.has("young")).toBe(true);
});

test("an output goes from the builder to the bucket, with listing and log", async () => {
  const [out = ""] = await succeed(first);
  const [drv = ""] = await pair().instantiate(first);
  const narinfo = text(`${hashPart(out)}.narinfo`);
  expect(narinfo).toMatch(/^StorePath: .*-first\nURL: nar\/[0-9a-z]{52}\.nar\.zst\nCompression: zstd\n/);
  const { signatures, url, fileSize } = parseNarInfo(parseStoreDir("/nix/store"), narinfo);
  expect(signatures.map((signature) => signature.split(":")[0])).toEqual(["test.example.org-1"]);
  const nar = object(url);
  expect(nar.contentEncoding).toBeUndefined();
  expect(fileSize).toBe(nar.body.length);
  expect(JSON.parse(text(`${hashPart(out)}.ls`))).toEqual({
    version: 1,
    root: { type: "regular", size: 6, executable: false, narOffset: 96 },
  });
  await until("the log", () => Promise.resolve(s3.objects.get("cache")?.has(`log/${basename(drv)}`)));
  expect(text(`log/${basename(drv)}`)).toBe("hello from first\n");
  // It never went through the runner.
  await expect(pair().store.run("nix-store", ["-q", "--hash", out])).rejects.toThrow(/not valid/);
});

test("a build takes inputs out of the bucket that only the bucket has", async () => {
  const expression = (name: string): string =>
    `let first = ${first}; in ${shellDerivation(name, "/bin/busybox sleep 1; read x < $first; echo got $x $first > $out", "inherit first;")}`;
  // As many as both builders take, so that also the one that did not build the input needs it.
  const outs = await succeed(...Array.from({ length: 8 }, (_, index) => expression(`second-${index}`)));
  for (const out of outs)
    expect(text(`${hashPart(out)}.narinfo`)).toMatch(/^References: [0-9a-z]{32}-first$/m);
  expect(
    new Set(
      (await pair().tables.client.query("select machine from buildsteps")).rows.map((row) => row.machine),
    ).size,
  ).toBe(2);
});

/** A client that asks no cache but the bucket and trusts nothing but the key. */
async function withClient<T>(use: (client: TestNixStore) => Promise<T>): Promise<T> {
  const client = await startNixStore({
    directory: scratch,
    name: "client",
    extraConf: `substituters = ${s3.url}/cache\ntrusted-public-keys = ${publicKey}`,
  });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

test("24 MiB go in several parts, and the real Nix reads them", async () => {
  const [out = ""] = await succeed(
    shellDerivation("large", "/bin/busybox dd if=/dev/urandom of=$out bs=1M count=24"),
  );
  const key = /^URL: (.*)$/m.exec(text(`${hashPart(out)}.narinfo`))?.[1] ?? "";
  expect(object(key).etag).toMatch(/-3$/);
  await withClient(async (client) => {
    await client.run("nix-store", ["-r", out]);
    expect(await readFile(join(client.realStoreDir, basename(out)))).toHaveLength(24 << 20);
  });
});

test("a client takes a whole closure from there", async () => {
  const { rows } = await pair().tables.client.query<{ path: string }>(
    "select path from buildstepoutputs where path like '%-second-0'",
  );
  const path = rows[0]?.path ?? "";
  await withClient(async (client) => {
    await client.run("nix-store", ["--realise", path]);
    const closure = (await client.run("nix-store", ["-qR", path])).trim().split("\n");
    expect(closure).toHaveLength(2);
    await client.run("nix-store", ["--verify-path", ...closure]);
  });
});

test("debug information is indexed", async () => {
  const rest = "cdef0123456789abcdef0123456789abcdef01";
  const file = `lib/debug/.build-id/ab/${rest}.debug`;
  const [out = ""] = await succeed(
    shellDerivation("debug", `/bin/busybox mkdir -p $out/lib/debug/.build-id/ab; echo ELF > $out/${file}`),
  );
  const url = /^URL: (.*)$/m.exec(text(`${hashPart(out)}.narinfo`))?.[1];
  expect(JSON.parse(text(`debuginfo/ab${rest}`))).toEqual({ archive: `../${url}`, member: file });
});

test("a PUT that fails is made again", async () => {
  let failures = 2;
  s3.fault = ({ method, key }) =>
    method === "PUT" && key.startsWith("nar/") && failures-- > 0
      ? { status: 503, code: "SlowDown" }
      : undefined;
  try {
    const [out = ""] = await succeed(shellDerivation("refused", "echo refused > $out"));
    const key = /^URL: (.*)$/m.exec(text(`${hashPart(out)}.narinfo`))?.[1] ?? "";
    expect(puts((one) => one === key)).toHaveLength(3);
  } finally {
    s3.fault = undefined;
  }
});

test("an output that the bucket has is not built", async () => {
  const stored = (key: string): boolean => key.endsWith(".narinfo") || key.startsWith("nar/");
  const before = puts(stored).length;
  const ids = await pair().build(first);
  await pair().tables.waitFinished(ids);
  const rows = await pair().tables.rows(ids);
  expect(rows.Builds).toMatchObject([{ buildstatus: 0, iscachedbuild: 1 }]);
  expect(rows.BuildSteps).toEqual([]);
  expect(puts(stored)).toHaveLength(before);
});

test("what a cached build shows is read from the bucket when no earlier build knows it", async () => {
  const support = "$out/nix-support";
  const expression = shellDerivation(
    "described",
    [
      `/bin/busybox mkdir -p ${support}; echo hello > $out/readme`,
      `echo "file readme $out/readme" > ${support}/hydra-build-products`,
      `echo described-1.0 > ${support}/hydra-release-name`,
      `echo "size 12 KiB" > ${support}/hydra-metrics`,
    ].join("; "),
  );
  const failing = shellDerivation("half", `/bin/busybox mkdir -p ${support}; echo > ${support}/failed`);
  const ids = await pair().build(expression, failing, first);
  await pair().tables.waitFinished(ids);
  const shown = async (of: readonly number[]) => {
    const { Builds, BuildProducts, BuildMetrics } = await pair().tables.rows(of);
    return {
      builds: Builds.map(({ buildstatus, releasename, size, closuresize }) => [
        buildstatus,
        releasename,
        size,
        closuresize,
      ]),
      products: BuildProducts.map(({ type, subtype, name, path, filesize, sha256hash }) => [
        type,
        subtype,
        name,
        path,
        filesize,
        sha256hash,
      ]),
      metrics: BuildMetrics.map(({ name, value, unit }) => [name, value, unit]),
    };
  };
  const before = await shown(ids);
  expect(before.builds.map(([status, release]) => [status, release])).toEqual([
    [0, "described-1.0"],
    [6, null],
    [0, null],
  ]);
  expect(before.products[0]?.slice(0, 3)).toEqual(["file", "readme", "readme"]);
  await pair().tables.client.query("delete from builds");
  const again = await pair().build(expression, failing, first);
  await pair().tables.waitFinished(again);
  expect((await pair().tables.rows(again)).Builds.map(({ iscachedbuild }) => iscachedbuild)).toEqual([
    1, 1, 1,
  ]);
  expect(await shown(again)).toEqual(before);
});

test("nothing is left half done, and narinfos come after those they refer to", async () => {
  await until("uploads to end", () => Promise.resolve([...s3.uploads.keys()].every((id) => id === "young")));
  const order = puts((key) => key.endsWith(".narinfo"));
  const seen = new Set<string>();
  for (const key of order) {
    const references = /^References: (.*)$/m.exec(text(key))?.[1]?.split(" ") ?? [];
    for (const reference of references) {
      const needed = `${reference.slice(0, 32)}.narinfo`;
      if (needed !== key) expect(seen, key).toContain(needed);
    }
    seen.add(key);
  }
});
