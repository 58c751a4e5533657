// What is to be recorded of failures: which status for which build, who gets a copy of the row, in which parts.
import { describe, expect, it } from "vitest";
import type { Outcome } from "../../../lib/database/recording/index.js";
import { parseStorePath } from "../../../lib/nix/path/store-path.js";
import {
  cachedOutcome,
  failedBuildStatus,
  failureOutcomes,
  type StepFailure,
} from "../../../lib/runner/recording/outcomes.js";
import { stepEnd } from "../../../lib/runner/recording/rows.js";
import { summarise } from "../../../lib/runner/state/build-report.js";
import { buildId } from "../../../lib/scheduler/ids.js";
import { built, simpleAttempt, storeDir } from "../../support/recording.js";

function failure(count: number, change: Partial<StepFailure> = {}): StepFailure {
  const attempt = simpleAttempt(2);
  return {
    attempt,
    row: { build: buildId(2), stepNumber: 4 },
    facts: attempt.facts,
    status: 1,
    error: "no",
    overheadMs: 9,
    accounted: buildId(2),
    builds: Array.from({ length: count }, (_, index) => ({ id: buildId(index + 1), own: index === 1 })),
    ...change,
  };
}

function parts(of: StepFailure, nowMs = 3_000_000): Outcome[] {
  const { attempt, row } = of;
  const step =
    attempt === undefined || row === undefined
      ? undefined
      : { ...stepEnd(attempt, row, of, nowMs), logPath: "/logs/x" };
  return [...failureOutcomes(storeDir, of, step, nowMs, true)];
}

describe("failures", () => {
  it("give builds above a real failure 'dependency failed', and everybody the status of anything else", () => {
    expect(([1, 3, 7, 8, 9, 10, 11, 12] as const).map((status) => failedBuildStatus(status, true))).toEqual([
      1, 3, 7, 1, 9, 10, 11, 12,
    ]);
    expect(([1, 3, 7, 8, 9, 10, 11, 12] as const).map((status) => failedBuildStatus(status, false))).toEqual([
      2, 3, 7, 2, 9, 10, 11, 12,
    ]);
  });

  it("are copied to all builds but the one that has the row", () => {
    const [part, ...more] = parts(failure(3));
    expect(more).toEqual([]);
    expect(part?.step).toMatchObject({ build: 2, stepNumber: 4, status: 1, startTime: 1000, stopTime: 3000 });
    expect(part?.builds.map((end) => end.id)).toEqual([2, 1, 3]);
    expect(
      part?.copies?.map(({ row }) => [row.build, row.propagatedFrom, row.startTime, row.machine]),
    ).toEqual([
      [1, 2, undefined, "vm"],
      [3, 2, undefined, "vm"],
    ]);
    expect(part?.failedPaths).toEqual([`${storeDir}/00000000000000000000000000000002-x`]);
  });

  it("without an attempt are copied to all, with the time of their discovery", () => {
    const [part] = parts(failure(2, { attempt: undefined, row: undefined, status: 9 }));
    expect(part?.step).toBeUndefined();
    expect(part?.copies?.map(({ row }) => [row.build, row.propagatedFrom, row.machine])).toEqual([
      [2, undefined, ""],
      [1, 2, ""],
    ]);
    expect(part?.builds.map((end) => [end.status, end.startTime, end.stopTime])).toEqual([
      [9, 3000, 3000],
      [9, 3000, 3000],
    ]);
    expect(part?.failedPaths).toEqual([]);
  });

  it("of thousands of builds come in parts; the accounted build is in the first", () => {
    const all = parts(failure(2500, { accounted: buildId(2400) }));
    expect(all.map((part) => part.builds.length)).toEqual([500, 500, 500, 500, 500]);
    expect(all.map((part) => part.step !== undefined)).toEqual([true, false, false, false, false]);
    expect(all[0]?.builds[0]?.id).toBe(2400);
    expect(new Set(all.flatMap((part) => part.builds.map((end) => end.id))).size).toBe(2500);
  });

  it("that no build cares about any more still end the step", () => {
    const all = parts(failure(0));
    expect(all).toHaveLength(1);
    expect(all[0]?.step?.stepNumber).toBe(4);
  });

  it("never end before they began, whatever the clock does", () => {
    const [part] = parts(failure(1), 10);
    expect(part?.step).toMatchObject({ startTime: 1000, stopTime: 1000 });
  });
});

describe("results", () => {
  it("name products by full paths and hashes of regular files only", () => {
    const path = parseStorePath("00000000000000000000000000000002-x");
    const product = {
      type: "file",
      subtype: "",
      storePath: path,
      name: "f",
      defaultPath: "",
      sha256: "ab".repeat(32),
      fileSize: 7,
    };
    const output = built(path, 10, 20, {
      failed: true,
      releaseName: "r",
      metrics: [],
      products: [
        { ...product, subPath: "f", isRegular: true },
        { ...product, subPath: "", isRegular: false },
      ],
    });
    const outcome = cachedOutcome(
      storeDir,
      buildId(1),
      new Map([["out", path]]),
      summarise(new Map([["out", output]])),
      5000,
    );
    expect(outcome.builds[0]).toMatchObject({
      status: 6,
      cached: true,
      startTime: 5,
      result: {
        size: 10,
        closureSize: 20,
        releaseName: "r",
        products: [
          { path: `${storeDir}/${path}/f`, sha256: "ab".repeat(32), fileSize: 7 },
          { path: `${storeDir}/${path}`, sha256: undefined, fileSize: undefined },
        ],
      },
    });
  });
});
