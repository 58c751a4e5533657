/** Events of uploads: one for each, however many tries and stores it took. */
import { expect, it } from "vitest";
import type { UploadJob, UploadTry } from "../../../../lib/binary-cache/index.js";
import { parseStorePath } from "../../../../lib/nix/path/store-path.js";
import type { RunnerEvent } from "../../../../lib/runner/events/index.js";
import { UploadEvents } from "../../../../lib/runner/outputs/uploads/upload-events.js";

const path = parseStorePath(`${"a".repeat(32)}-out`);
const drv = parseStorePath(`${"a".repeat(32)}-out.drv`);
const job: UploadJob = { id: "000000000001", addedAt: 500, paths: [path], log: { drv, file: "/log" } };
const refused = { kind: "failed", error: new Error("refused"), retried: true } as const;

function setup() {
  const emitted: RunnerEvent[] = [];
  let now = 1_000;
  const uploads = new UploadEvents({ emit: (event) => emitted.push(event) }, () => now);
  const tried = (store: string, outcome: UploadTry["outcome"]): void => {
    now += 100;
    uploads.tried({ job, cache: { name: store } as UploadTry["cache"], ms: 10, outcome });
  };
  return { emitted, uploads, tried };
}

it("says each failed try, and the end of the upload once, with the tries of each store", () => {
  const { emitted, uploads, tried } = setup();
  tried("near", { kind: "uploaded", paths: [path], narBytes: 7 });
  tried("far", refused);
  tried("far", { kind: "uploaded", paths: [], narBytes: undefined });
  uploads.done(job, undefined);
  uploads.done(job, undefined);
  const about = { paths: [path], drv };
  expect(emitted).toEqual([
    { type: "uploadRetried", at: 1_200, ...about, store: "far", ms: 10, reason: "refused" },
    {
      type: "uploadFinished",
      at: 1_300,
      ...about,
      ms: 210,
      outcome: { kind: "uploaded" },
      stores: [
        {
          store: "near",
          tries: 1,
          lastTries: [{ at: 1_100, ms: 10, outcome: { kind: "uploaded", written: 1, bytes: 7 } }],
        },
        {
          store: "far",
          tries: 2,
          lastTries: [
            { at: 1_200, ms: 10, outcome: { kind: "failed", reason: "refused" } },
            { at: 1_300, ms: 10, outcome: { kind: "uploaded", written: 0 } },
          ],
        },
      ],
    },
  ]);
});

it("keeps the newest tries of an outage and counts them all", () => {
  const { emitted, uploads, tried } = setup();
  for (let each = 0; each < 500; each++) tried("far", refused);
  tried("far", { ...refused, retried: false });
  uploads.done(job, new Error("given up", { cause: refused.error }));
  const last = emitted.at(-1);
  expect(emitted).toHaveLength(501);
  expect(last).toMatchObject({
    type: "uploadFinished",
    outcome: { kind: "failed", reason: "given up: refused" },
  });
  if (last?.type !== "uploadFinished") throw new Error("not the end");
  expect(last.stores).toHaveLength(1);
  expect(last.stores[0]?.tries).toBe(501);
  expect(last.stores[0]?.lastTries).toHaveLength(20);
});

it("says nothing of an upload that no store was tried for", () => {
  const { emitted, uploads } = setup();
  uploads.done(job, undefined);
  expect(emitted).toEqual([]);
});
