import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tapListing } from "../../../lib/builder/presigned/nar-listing-tap.js";
import { uploadPresignedNar } from "../../../lib/builder/presigned/nar-upload.js";
import { putObject } from "../../../lib/builder/presigned/put-object.js";
import { PresignedTarget, type PutAddress, type UrlSource } from "../../../lib/builder/presigned/target.js";
import type { UploadRetries } from "../../../lib/builder/presigned/upload-retries.js";
import type { NarListing } from "../../../lib/nix/nar/listing.js";
import { dumpTree, type NarTree } from "../../../lib/nix/nar/writer.js";
import { hashBytes, printHash } from "../../../lib/nix/path/hash.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import type { PresignedNar, PresignedUpload } from "../../../lib/rpc/types.js";
import { type ObjectServer, startObjectServer } from "../../support/object-server.js";
import { pathInfo } from "../../support/path-info.js";

const path = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-debug");
const signal = new AbortController().signal;
setMaxListeners(0, signal);

let server: ObjectServer;
let spoolDirectory: string;
beforeEach(async () => {
  server = await startObjectServer();
  spoolDirectory = await mkdtemp(join(tmpdir(), "spool-"));
});
afterEach(async () => {
  await server.close();
  expect(await readdir(spoolDirectory)).toEqual([]);
  await rm(spoolDirectory, { recursive: true });
});

function directory(entries: Record<string, NarTree>): NarTree {
  const sorted = Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1));
  return { kind: "directory", entries: new Map(sorted) };
}

const file = (contents: string): NarTree => ({ kind: "regular", contents: Buffer.from(contents) });

async function* stream(bytes: Uint8Array, piece = 100): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}

function target(key: string, compression = "none", compressionLevel = 0): PresignedUpload {
  return {
    path: key,
    url: `${server.url}/${key}?signature=secret`,
    compression,
    compressionLevel,
    multipart: undefined,
  };
}

function narTarget(changes: Partial<PresignedNar> = {}): PresignedNar {
  return {
    path,
    narUrl: "nar/x.nar",
    narUpload: target("nar/x.nar"),
    lsUpload: undefined,
    debugInfoUploads: [],
    bucket: undefined,
    ...changes,
  };
}

/** Retries without long pauses; `totalMs` is as long as a test may wait. */
const quick: UploadRetries = { totalMs: 5_000, backoff: { firstMs: 1, longestMs: 10 } };

async function upload(
  nar: Uint8Array,
  changes: Partial<PresignedNar> = {},
  info = pathInfo(path, nar),
  source: Partial<UrlSource> = {},
) {
  const asked: number[] = [];
  const parts: UrlSource["parts"] = async (start, count) => {
    asked.push(start);
    return Array.from({ length: Math.min(count, 2) }, (_, index) => ({
      partNumber: start + index,
      url: `${server.url}/part/${start + index}`,
    }));
  };
  const again: UrlSource["again"] = () => Promise.reject(new Error("no more URLs"));
  const uploaded = await uploadPresignedNar({
    info,
    target: new PresignedTarget(narTarget(changes), { again, parts, ...source }),
    nar: stream(nar),
    spoolDirectory,
    retries: quick,
    signal,
  });
  return { uploaded, asked };
}

const tree = directory({
  lib: directory({
    debug: directory({ ".build-id": directory({ ab: directory({ "cdef01.debug": file("symbols") }) }) }),
  }),
  "x.txt": file("hello"),
});
const nar = Buffer.concat([...dumpTree(tree)]);

describe("a NAR", () => {
  test("is stored whole, once, with its hash", async () => {
    const { uploaded } = await upload(nar);
    const stored = server.objects.get("/nar/x.nar");
    expect(stored?.body).toEqual(nar);
    expect(stored?.headers).toMatchObject({ "content-type": "application/x-nix-nar", "if-none-match": "*" });
    expect(stored?.headers["content-encoding"]).toBeUndefined();
    expect(uploaded).toMatchObject({ fileSize: nar.length, alreadyPresent: false, multipart: undefined });
    expect(printHash(uploaded.fileHash, "base16")).toBe(printHash(hashBytes("sha256", nar), "base16"));
    expect((await upload(nar)).uploaded.alreadyPresent).toBe(true);
  });

  test("is compressed as told", async () => {
    const { uploaded } = await upload(nar, { narUpload: target("nar/x.nar.gz", "gzip", 9) });
    const stored = server.objects.get("/nar/x.nar.gz")?.body ?? Buffer.alloc(0);
    expect(gunzipSync(stored)).toEqual(nar);
    expect(uploaded.fileSize).toBe(stored.length);
    expect(uploaded.fileHash.digest).toEqual(hashBytes("sha256", stored).digest);
  });

  test("is not stored under a compression that we do not know", async () => {
    await expect(upload(nar, { narUpload: target("nar/x", "lz5") })).rejects.toThrow("lz5");
    expect(server.puts).toEqual([]);
  });

  test("that is not what the store has registered is not stored", async () => {
    const other = { ...pathInfo(path, nar), narHash: hashBytes("sha256", Buffer.from("other")) };
    await expect(upload(nar, {}, other)).rejects.toThrow("not what the store has registered");
    expect(server.objects.size).toBe(0);
  });

  test("comes with its listing and with links for the build ids that are wanted", async () => {
    await upload(nar, {
      lsUpload: target("a.ls", "br"),
      debugInfoUploads: [target("debuginfo/abcdef01"), target("debuginfo/ffffffff")],
    });
    expect(server.objects.get("/a.ls")?.headers).toMatchObject({
      "content-type": "application/json",
      "content-encoding": "br",
    });
    expect(JSON.parse(server.objects.get("/debuginfo/abcdef01")?.body.toString() ?? "")).toEqual({
      archive: "../nar/x.nar",
      member: "lib/debug/.build-id/ab/cdef01.debug",
    });
    expect(server.objects.has("/debuginfo/ffffffff")).toBe(false);
  });
});

describe("the parts of a NAR", () => {
  const multipart = (partSize: number) => ({
    narUpload: {
      ...target("nar/x.nar"),
      multipart: { uploadId: "id", partSize, parts: [{ partNumber: 1, url: `${server.url}/part/1` }] },
    },
  });

  test("put together are the NAR, for any size of part", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 40, max: nar.length + 50 }), async (partSize) => {
        server.objects.clear();
        const { uploaded } = await upload(nar, multipart(partSize));
        const count = Math.max(1, Math.ceil(nar.length / partSize));
        const parts = Array.from(
          { length: count },
          (_, index) => server.objects.get(`/part/${index + 1}`)?.body,
        );
        expect(Buffer.concat(parts.map((part) => part ?? Buffer.alloc(0)))).toEqual(nar);
        expect(uploaded.multipart).toEqual({
          objectKey: "nar/x.nar",
          uploadId: "id",
          parts: parts.map((part, index) => ({
            partNumber: index + 1,
            etag: createHash("md5")
              .update(part ?? "")
              .digest("hex"),
          })),
        });
      }),
      { numRuns: 15 },
    );
  });

  test("are sent to further addresses when those at hand are used up", async () => {
    const { asked } = await upload(nar, multipart(Math.ceil(nar.length / 5)));
    expect(asked).toEqual([2, 4]);
  });

  test("are each tried again", async () => {
    server.refuse = (put, tries) => (put === "/part/1" && tries === 1 ? 503 : undefined);
    const { uploaded } = await upload(nar, multipart(nar.length));
    expect(uploaded.multipart?.parts).toHaveLength(1);
    expect(server.puts).toEqual(["/part/1", "/part/1"]);
  });
});

describe("an address that the store refuses", () => {
  const expired = (signature: string) => `?signature=${signature}`;
  const refuseOld = (): void => {
    server.refuseUrl = (url) => (url.endsWith(expired("old")) ? 403 : undefined);
  };

  test("is replaced, for an object that is put whole", async () => {
    refuseOld();
    const old = (key: string): PresignedUpload => ({
      ...target(key),
      url: `${server.url}/${key}${expired("old")}`,
    });
    const fresh = (key: string): PresignedUpload => ({
      ...target(key),
      url: `${server.url}/${key}${expired("new")}`,
    });
    let questions = 0;
    const all = (of: (key: string) => PresignedUpload) =>
      narTarget({
        narUpload: of("nar/x.nar"),
        lsUpload: of("a.ls"),
        debugInfoUploads: [of("debuginfo/abcdef01")],
      });
    await upload(nar, all(old), pathInfo(path, nar), {
      again: async () => {
        questions++;
        return all(fresh);
      },
    });
    expect([...server.objects.keys()].sort()).toEqual(["/a.ls", "/debuginfo/abcdef01", "/nar/x.nar"]);
    // One answer has the addresses of all objects.
    expect(questions).toBe(1);
  });

  test("is replaced, for a part", async () => {
    refuseOld();
    const parts = [1, 2, 3].map((partNumber) => ({
      partNumber,
      url: `${server.url}/part/${partNumber}${expired("old")}`,
    }));
    const partSize = Math.ceil(nar.length / 3);
    const { uploaded, asked } = await upload(nar, {
      narUpload: { ...target("nar/x.nar"), multipart: { uploadId: "id", partSize, parts } },
    });
    expect(uploaded.multipart?.parts).toHaveLength(3);
    expect(
      Buffer.concat([1, 2, 3].map((part) => server.objects.get(`/part/${part}`)?.body ?? Buffer.alloc(0))),
    ).toEqual(nar);
    expect(asked[0]).toBe(1);
  });

  test("and for which there is no other is given up soon, without giving the signature away", async () => {
    server.refuse = () => 403;
    const only: PutAddress = {
      url: async () => `${server.url}/x?X-Amz-Signature=secret`,
      expire: () => false,
    };
    const body = { length: 1, open: () => stream(Buffer.from("x")) };
    const error: unknown = await putObject(only, body, { signal, retries: quick }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: "refused", status: 403 });
    expect(String(error)).not.toContain("secret");
    expect(server.puts).toHaveLength(4);
  });
});

describe("an outage", () => {
  test("is waited for, however many tries that takes", async () => {
    server.refuse = (_, tries) => (tries <= 9 ? 503 : undefined);
    await upload(nar);
    expect(server.objects.get("/nar/x.nar")?.body).toEqual(nar);
    expect(server.puts).toHaveLength(10);
  });

  test("ends the upload when the retry budget is spent", async () => {
    server.refuse = () => 503;
    const only: PutAddress = { url: async () => `${server.url}/x`, expire: () => true };
    const body = { length: 1, open: () => stream(Buffer.from("x")) };
    const retries = { ...quick, totalMs: 0 };
    await expect(putObject(only, body, { signal, retries })).rejects.toMatchObject({ status: 503 });
    expect(server.puts).toHaveLength(4);
  });

  test("is something else than an upload that the bucket has lost", async () => {
    server.refuse = () => 404;
    const parts = [{ partNumber: 1, url: `${server.url}/part/1` }];
    const lost = upload(nar, {
      narUpload: { ...target("nar/x.nar"), multipart: { uploadId: "id", partSize: nar.length, parts } },
    });
    await expect(lost).rejects.toMatchObject({ code: "upload-lost" });
  });
});

describe("a listing made in passing", () => {
  test("changes no byte of the NAR", async () => {
    const pieces = fc.integer({ min: 1, max: 300 });
    await fc.assert(
      fc.asyncProperty(pieces, async (size) => {
        let listing: NarListing | undefined;
        const passed: Uint8Array[] = [];
        for await (const chunk of tapListing(stream(nar, size), (found) => (listing = found)))
          passed.push(chunk);
        expect(Buffer.concat(passed)).toEqual(nar);
        expect(listing?.type === "directory" && [...listing.entries.keys()]).toEqual(["lib", "x.txt"]);
      }),
      { numRuns: 30 },
    );
  });

  test("is an error when it is no NAR, or only a part of one", async () => {
    const pass = async (bytes: Uint8Array): Promise<void> => {
      for await (const _ of tapListing(stream(bytes), () => expect.unreachable()));
    };
    await expect(pass(Buffer.from("this is no NAR at all, but it is long enough"))).rejects.toThrow("NAR");
    await expect(pass(nar.subarray(0, 200))).rejects.toThrow("NAR");
  });

  test("can be left early", async () => {
    for await (const _ of tapListing(stream(nar, 10), () => expect.unreachable())) break;
  });
});
