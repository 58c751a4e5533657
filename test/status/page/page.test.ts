/** The live page as the server sends it: one document for every view, files that only change with their name. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { viewPatterns } from "../../../lib/status/page/page.js";
import { type Answer, serve, type TestApi } from "../http-client.js";
import { recordedSource, runningRecording } from "../recorded-source.js";

let api: TestApi;
let below: TestApi;
let page: Answer;
beforeAll(async () => {
  const { source, metrics, now } = recordedSource(runningRecording);
  api = await serve({ source, metrics, clock: () => now });
  below = await serve({ source, metrics, clock: () => now, basePath: "/hydra/runner" });
  page = await api.ask("GET", "/");
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await below[Symbol.asyncDispose]();
});

/** Addresses in a document, as a browser resolves them. */
function filesOf({ text }: Answer, address: string): string[] {
  const links = [...text.matchAll(/<(?:link rel="stylesheet" href|script type="module" src)="([^"]+)"/g)];
  return links.map(([, link = ""]) => new URL(link, `http://host${address}`).pathname);
}

describe("the document", () => {
  it("is HTML", () => {
    expect(page.status).toBe(200);
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(page.text).toMatch(/^<!doctype html>\n<html lang="en">\n/);
  });

  it("is the same for every view, and finds its files from there, below any base path", async () => {
    const addresses = viewPatterns.map((pattern) => pattern.replaceAll("{}", "a%2Fb"));
    for (const address of [...addresses, "/machines/"]) {
      const answer = await below.ask("GET", `/hydra/runner${address}?sort=load`);
      expect(answer.status, address).toBe(200);
      const files = filesOf(answer, `/hydra/runner${address}`);
      expect(files).toEqual(filesOf(page, "/").map((file) => `/hydra/runner${file}`));
      const root = /name="page-root" content="([^"]+)"/.exec(answer.text)?.[1] ?? "";
      expect(new URL(root, `http://host/hydra/runner${address}`).pathname).toBe("/hydra/runner/");
    }
  });

  it("asks nothing of other servers, and has no script or style inside", () => {
    expect(page.text).not.toMatch(/https?:|<style|style=|\son[a-z]+=|<script(?![^>]*\ssrc=)/);
  });

  it("has a policy that lets only files of this server run", () => {
    const policy = String(page.headers["content-security-policy"]).split("; ");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("style-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy.join()).not.toContain("unsafe");
    expect(page.headers["x-content-type-options"]).toBe("nosniff");
  });
});

describe("the files", () => {
  it("are kept by browsers, and come in the coding that is asked for", async () => {
    for (const file of filesOf(page, "/")) {
      const plain = await api.ask("GET", file);
      expect(plain.status, file).toBe(200);
      expect(plain.headers["cache-control"]).toContain("immutable");
      expect(plain.headers["content-encoding"]).toBeUndefined();
      const brotli = await api.ask("GET", file, { headers: { "accept-encoding": "gzip, br" } });
      expect(brotli.headers["content-encoding"]).toBe("br");
      expect(brotliDecompressSync(brotli.bytes)).toEqual(plain.bytes);
      const gzip = await api.ask("GET", file, { headers: { "accept-encoding": "gzip" } });
      expect(gzip.headers["content-encoding"]).toBe("gzip");
      expect(gunzipSync(gzip.bytes)).toEqual(plain.bytes);
      expect(Number(gzip.headers["content-length"])).toBe(gzip.bytes.length);
      const again = await api.ask("GET", file, { headers: { "if-none-match": plain.headers.etag ?? "" } });
      expect(again.status).toBe(304);
      const head = await api.ask("HEAD", file);
      expect([head.status, head.bytes.length]).toEqual([200, 0]);
    }
  });

  it("have types that browsers run with nosniff", async () => {
    const found = await Promise.all(filesOf(page, "/").map((file) => api.ask("GET", file)));
    expect(found.map(({ headers }) => headers["content-type"])).toEqual([
      "text/css; charset=utf-8",
      "text/javascript; charset=utf-8",
    ]);
  });

  it("are at most 150 kB compressed, and carry the licence of what is bundled", async () => {
    const headers = { "accept-encoding": "gzip" };
    const sizes = await Promise.all(
      filesOf(page, "/").map(async (file) => (await api.ask("GET", file, { headers })).bytes.length),
    );
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(150_000);
    const [, script = ""] = filesOf(page, "/");
    expect((await api.ask("GET", script)).text).toContain(
      "The MIT License (MIT)\n\nCopyright (c) 2015-present Jason Miller",
    );
  });

  it("are those that the document names and no others", async () => {
    for (const name of ["manifest.json", "..%2Fpage.js", "%2e%2e", "constructor"]) {
      expect((await api.ask("GET", `/assets/${name}`)).status, name).toBe(404);
    }
  });
});
