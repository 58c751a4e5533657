/** A list of 100,000 rows: compressed while it is made, for clients that read slowly or leave. */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serve, type TestApi } from "../http-client.js";
import { recordedSource, runningRecording } from "../recorded-source.js";

const rows = 100_000;
let api: TestApi;
const warnings: string[] = [];
const note = (warning: Error): void => void warnings.push(warning.name);

beforeEach(async () => {
  warnings.length = 0;
  process.on("warning", note);
  const { source, metrics, now } = recordedSource(runningRecording);
  const [build] = source.builds();
  if (build === undefined) throw new Error("the recording has no build");
  const builds = Array.from({ length: rows }, (_, index) => ({
    ...build,
    id: (index + 1) as typeof build.id,
  }));
  api = await serve({ source: { ...source, builds: () => builds }, metrics, clock: () => now });
});
afterEach(async () => {
  process.off("warning", note);
  await api[Symbol.asyncDispose]();
});

it("comes compressed to those who take it, and plain to others", async () => {
  const plain = await api.ask("GET", "/status/builds");
  expect(plain.headers["content-encoding"]).toBeUndefined();
  expect(plain.json.buildCount).toBe(rows);
  expect(plain.json.builds).toHaveLength(rows);
  const packed = await api.ask("GET", "/status/builds", { headers: { "accept-encoding": "gzip" } });
  expect(packed.headers).toMatchObject({ "content-encoding": "gzip", vary: "accept-encoding" });
  expect(packed.bytes.length).toBeLessThan(plain.bytes.length / 5);
  expect(gunzipSync(packed.bytes).equals(plain.bytes)).toBe(true);
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toEqual([]);
});

it("waits for a client that reads slowly, and stops for one that leaves", async () => {
  const [slow] = (await once(
    get({ host: "127.0.0.1", port: api.port, path: "/status/builds", agent: false }),
    "response",
  )) as [IncomingMessage];
  let size = 0;
  for await (const chunk of slow) {
    size += (chunk as Buffer).length;
    if (size < 2 ** 20) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  expect(size).toBeGreaterThan(10 * 2 ** 20);
  const [left] = (await once(
    get({ host: "127.0.0.1", port: api.port, path: "/status/builds", agent: false }),
    "response",
  )) as [IncomingMessage];
  left.on("error", () => undefined);
  left.destroy();
  expect((await api.ask("GET", "/health")).status).toBe(200);
  expect(warnings).toEqual([]);
});
