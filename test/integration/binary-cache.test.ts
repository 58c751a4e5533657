// Paths of a real Nix store go into a cache, and the real Nix takes them out again, trusting only our key.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBinaryCache } from "../../lib/binary-cache/index.js";
import { dumpPath } from "../../lib/nix/nar/writer.js";
import { hashBytes, parseHash } from "../../lib/nix/path/hash.js";
import { defaultStoreDir, parseFullStorePath } from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import { bytesOf, publicKey, secretKey } from "../binary-cache/samples.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { type S3Server, startS3Server } from "../support/s3-server/index.js";

const run = promisify(execFile);
let scratch: string;
let source: TestNixStore;
let s3: S3Server;
let infos: ValidPathInfo[];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "cache-nix-"));
  await writeFile(join(scratch, "key"), secretKey);
  s3 = await startS3Server();
  source = await startNixStore({ directory: scratch, name: "source", daemon: false });
  // Larger than one frame of zstd as we may write it.
  const expression = `let leaf = ${shellDerivation("leaf", "/bin/busybox seq 500000 > $out")}; in ${shellDerivation("top", "echo $leaf > $out", "leaf = leaf;").replace("leaf = leaf;", "inherit leaf;")}`;
  const [drv = ""] = await source.instantiate(expression);
  const [top = ""] = (await source.run("nix-store", ["-r", drv])).trim().split("\n");
  const closure = (await source.run("nix-store", ["-qR", top])).trim().split("\n");
  infos = await Promise.all(
    closure.map(async (full): Promise<ValidPathInfo> => {
      const query = async (what: string) => (await source.run("nix-store", ["-q", what, full])).trim();
      const references = (await query("--references")).split("\n").filter((line) => line !== "");
      return {
        path: parseFullStorePath(defaultStoreDir, full),
        deriver: undefined,
        narHash: parseHash(await query("--hash")),
        narSize: Number(await query("--size")),
        references: references.map((path) => parseFullStorePath(defaultStoreDir, path)),
        registrationTime: 0,
        ultimate: true,
        signatures: [],
        ca: undefined,
      };
    }),
  );
});
afterAll(async () => {
  await source?.close();
  await s3?.close();
  await rm(scratch, { recursive: true, force: true });
});

const openNar = (path: string) => dumpPath(join(source.realStoreDir, path));

describe("caches that Nix reads", () => {
  for (const compression of ["none", "xz", "zstd", "br", "bzip2"]) {
    it(`file://, ${compression}: substituted with our key, refused with another`, async () => {
      const folder = join(scratch, `cache-${compression}`);
      const parameters = `compression=${compression}&secret-key=${join(scratch, "key")}&write-nar-listing=true`;
      const cache = await openBinaryCache(`file://${folder}?${parameters}`);
      expect((await cache.uploadClosure(infos, openNar)).uploaded).toHaveLength(2);
      const top = infos.at(-1);
      const fetchInto = async (name: string, key: string): Promise<string> => {
        const target = await startNixStore({
          directory: scratch,
          name,
          daemon: false,
          extraConf: `trusted-public-keys = ${key}\nextra-substituters = file://${folder}`,
        });
        try {
          await target.run("nix-store", ["-r", `/nix/store/${top?.path}`]);
          return await readFile(join(target.realStoreDir, top?.path ?? ""), "utf8");
        } finally {
          await target.close();
        }
      };
      expect(await fetchInto(`good-${compression}`, publicKey)).toBe(`/nix/store/${infos[0]?.path}\n`);
      const other = "test.example.org-1:IVL40Zt5HSRFMkLhXy6rbLfP+ntqXtMAl5YOBpiB2xI=";
      await expect(fetchInto(`bad-${compression}`, other)).rejects.toThrow(
        /signature|trusted|don't know how to build/,
      );
    });
  }

  it("s3://: what was stored is what the store has", async () => {
    const uri = s3.uri("cache", { "secret-key": join(scratch, "key"), "parallel-compression": "true" });
    const cache = await openBinaryCache(uri, { credentials: s3.keys });
    await cache.uploadClosure(infos, openNar);
    for (const { path, narHash } of infos) {
      const info = await cache.narInfo(path);
      if (info === undefined) throw new Error("no narinfo");
      expect(hashBytes("sha256", await bytesOf(cache.openNar(info)))).toEqual(narHash);
    }
    cache.close();
  });

  it("Nix itself can write into a folder that we opened", async () => {
    const folder = join(scratch, "shared");
    const cache = await openBinaryCache(`file://${folder}`);
    const [leaf] = infos;
    if (leaf === undefined) throw new Error("no path");
    const args = ["--extra-experimental-features", "nix-command", "copy", "--to", `file://${folder}`];
    await run("nix", [...args, `/nix/store/${leaf.path}`], { env: source.env });
    expect((await cache.hasNarInfos([leaf.path])).get(leaf.path)).toBe("present");
    const info = await cache.narInfo(leaf.path);
    if (info === undefined) throw new Error("no narinfo");
    expect(hashBytes("sha256", await bytesOf(cache.openNar(info)))).toEqual(leaf.narHash);
  });
});
