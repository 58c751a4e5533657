/** Which `Host` headers name the server, over real sockets, and what a foreign page can do. */
import { hostname } from "node:os";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { HostNames, hostOf, namesOfAddresses, searchDomains } from "../../../lib/status/http/host-names.js";
import { serve, type TestApi } from "../http-client.js";
import { recordedSource, runningRecording } from "../recorded-source.js";

let api: TestApi | undefined;
afterEach(async () => {
  await api?.[Symbol.asyncDispose]();
  api = undefined;
});

async function start(names?: readonly string[]) {
  const { source, metrics, now } = recordedSource(runningRecording);
  api = await serve({ source, metrics, clock: () => now, hosts: new HostNames({ names }) });
  return { ...api, calls: source.calls };
}

describe("host names", () => {
  it.each([
    ["example.org", "example.org"],
    ["Example.ORG.:8080", "example.org"],
    ["127.0.0.1:80", "127.0.0.1"],
    ["[::1]:80", "::1"],
    ["[fe80::1%eth0]", "fe80::1"],
    ["a b", undefined],
    ["user@host", undefined],
    ["::1", undefined],
    ["", undefined],
    [".", undefined],
  ])("%j: %s", (header, host) => {
    expect(hostOf(header)).toBe(host);
  });

  it("are read from any header without an exception", () => {
    fc.assert(
      fc.property(fc.string(), (text) => typeof new HostNames({ names: [] }).has(text) === "boolean"),
    );
  });

  it("of the machine come from the system's files", () => {
    const hosts = "127.0.1.1 box.example box # us\n10.0.0.9 other\n10.0.0.8 lan\n# 127.0.0.1 no";
    expect(namesOfAddresses(hosts, new Set(["10.0.0.8"]))).toEqual(["box.example", "box", "lan"]);
    expect(searchDomains("nameserver 1.1.1.1\nsearch example.org .\n")).toEqual(["example.org"]);
  });
});

describe("a foreign host name", () => {
  const foreign = { host: "evil.example" };

  it.each([
    ["PUT", "/build", `{"drv":"${"z".repeat(32)}-x.drv","jobsetId":1}`],
    ["POST", "/build_one", '{"buildId":1}'],
    ["POST", "/machines/vm/drain", ""],
    ["GET", "/status", undefined],
    ["GET", "/", undefined],
  ])("is refused: %s %s", async (method, path, body) => {
    const { ask, calls } = await start();
    const headers = [foreign, { ...foreign, origin: "http://evil.example" }];
    for (const one of headers) {
      const answer = await ask(method, path, { ...(body === undefined ? {} : { body }), headers: one });
      expect(answer.status).toBe(421);
      expect(answer.json).toEqual({ error: expect.stringMatching(/evil\.example.*statusHosts/) });
    }
    expect(calls).toEqual([]);
  });

  it.each(["/metrics", "/health", "/ready"])("is good enough for monitoring: %s", async (path) => {
    const { ask } = await start();
    expect((await ask("GET", path, { headers: foreign })).status).toBe(200);
    for (const browser of [{ origin: "http://evil.example" }, { "sec-fetch-site": "same-origin" }]) {
      expect((await ask("GET", path, { headers: { ...foreign, ...browser } })).status).toBe(421);
    }
  });
});

describe("a name of ours", () => {
  it("is a loopback name, an address or a name of the machine", async () => {
    const { ask, port } = await start();
    for (const host of [`127.0.0.1:${port}`, `[::1]:${port}`, "localhost", "10.1.2.3:80", hostname()]) {
      expect((await ask("GET", "/status", { headers: { host } })).status).toBe(200);
    }
  });

  it("is what statusHosts lists, and then the origin may be the same", async () => {
    const { ask } = await start(["hydra.example.org"]);
    const own = { host: "Hydra.example.org:80", origin: "http://hydra.example.org:80" };
    const post = (headers: Record<string, string>) =>
      ask("POST", "/build_one", { body: '{"buildId":1}', headers });
    expect((await post({ host: "hydra.example.org" })).status).toBe(200);
    expect((await post({ ...own, origin: "http://hydra.example.org" })).status).toBe(200);
    expect((await post({ ...own, origin: "http://evil.example" })).status).toBe(403);
    expect((await post({ host: "evil.example", origin: "http://hydra.example.org" })).status).toBe(421);
  });

  it("does not help a page of another site", async () => {
    const { ask, calls } = await start();
    for (const site of ["cross-site", "same-site"]) {
      const headers = { host: "localhost", "sec-fetch-site": site };
      expect((await ask("POST", "/build_one", { body: '{"buildId":1}', headers })).status).toBe(403);
    }
    expect(calls).toEqual([]);
  });

  it("is any name with *", async () => {
    const { ask } = await start(["*"]);
    expect((await ask("GET", "/status", { headers: { host: "evil.example" } })).status).toBe(200);
  });
});
