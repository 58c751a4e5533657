// An upload that is not wanted any more ends soon, also where the bucket does not answer: closing waits for it.
import { performance } from "node:perf_hooks";
import { afterEach, expect, it } from "vitest";
import { parseCacheUri } from "../../../lib/binary-cache/cache-uri.js";
import { S3Uploader } from "../../../lib/binary-cache/objects/s3-uploader.js";
import { type S3Server, startS3Server } from "../../support/s3-server/index.js";
import { until } from "../../support/until.js";

let s3: S3Server | undefined;
afterEach(() => s3?.close());

/** More than two parts, and then nothing: as a stage that waits for the report of its attempt. */
async function* held(wanted: AbortSignal): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(20 << 20);
  await new Promise((_resolve, reject) => {
    wanted.addEventListener("abort", () => reject(new Error("not wanted")), { once: true });
  });
}

it.each([
  ["answers", 0],
  ["is silent", 20_000],
])(
  "a bucket that %s",
  async (_, delayMs) => {
    const server = await startS3Server({ buckets: ["cache"] });
    s3 = server;
    server.fault = ({ method }) => (method === "DELETE" ? { delayMs } : undefined);
    const objects = new S3Uploader(parseCacheUri(server.uri("cache")).settings, { credentials: server.keys });
    const wanted = new AbortController();
    const put = objects.put("nar/x", held(wanted.signal), { contentType: "x", signal: wanted.signal });
    const ended = put.then(
      () => undefined,
      (error: unknown) => error,
    );
    await until("a part to arrive", async () => server.requests.some(({ method }) => method === "PUT"));
    const began = performance.now();
    wanted.abort(new Error("not wanted"));
    expect(await ended).toBeInstanceOf(Error);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(server.objects.get("cache")?.size).toBe(0);
    if (delayMs === 0) expect(server.uploads.size).toBe(0);
    objects.close();
  },
  40_000,
);
