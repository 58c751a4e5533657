/** Hydra's numbers by name, and that nothing in the rooms that use them writes a bare number. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  type BuildStatus,
  buildStatus,
  type StepStatus,
  stepBusy,
  stepStatus,
  stepType,
} from "../../lib/database/index.js";
import { type FailureStatus, failureStatus } from "../../lib/scheduler/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Where Hydra's numbers are read or written. */
const rooms = ["database", "runner", "scheduler", "status/answers", "status/api", "testing/simulated"];

/** Written once, then frozen: SQL of the schema itself, and the two modules that give the numbers their names. */
const homes = [
  "lib/database/migrations/",
  "lib/database/schema/",
  "lib/database/status-numbers.ts",
  "lib/scheduler/types.ts",
  // Recognizes statements by their text.
  "lib/testing/simulated/statements.ts",
];

const number = String.raw`[(\[]?\s*\d{1,2}\b(?![\w.])`;
const bare: readonly RegExp[] = [
  // TypeScript and SQL: assigned, compared, in a list, as a default.
  new RegExp(
    String.raw`\b(?:\w*Status|status|buildstatus|exhausted)\??\s*(?:[=!]==|=|<>|!=|:|\bIN\b)\s*${number}`,
    "g",
  ),
  new RegExp(String.raw`\bstatus(?:es)?\b[^\n;,{}]*\?\?\s*${number}`, "gi"),
  new RegExp(String.raw`\b${number}\s*[=!]==\s*[\w.]*status\b`, "gi"),
  // Arguments of the functions that end steps and builds.
  /\b(?:fail|failStep|orphanRow|closeOrphan|failedBuildEnd)\([^()]*,\s*\d{1,2}\b/g,
  // Kinds and phases of steps.
  new RegExp(String.raw`\b(?:type|busy):\s*${number}`, "g"),
];

function bareNumbers(text: string): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  return bare.flatMap((pattern) => [...code.matchAll(pattern)].map(([found]) => found));
}

describe("Hydra's numbers", () => {
  it("are the ones that its front-end reads", () => {
    expect(buildStatus).toEqual({
      succeeded: 0,
      failed: 1,
      dependencyFailed: 2,
      aborted: 3,
      cancelled: 4,
      failedWithOutput: 6,
      timedOut: 7,
      unsupported: 9,
      logLimitExceeded: 10,
      narSizeLimitExceeded: 11,
      notDeterministic: 12,
    });
    expect(stepStatus).toEqual({
      succeeded: 0,
      failed: 1,
      aborted: 3,
      cancelled: 4,
      timedOut: 7,
      cachedFailure: 8,
      unsupported: 9,
      logLimitExceeded: 10,
      narSizeLimitExceeded: 11,
      notDeterministic: 12,
      resolved: 13,
    });
    expect(stepType).toEqual({ build: 0, substitution: 1 });
    expect(Object.values(stepBusy)).toEqual([0, 1, 10, 20, 30, 35, 40, 50]);
  });

  it("are the same in the scheduler, which imports nothing", () => {
    expectTypeOf<FailureStatus>().toExtend<StepStatus>();
    expectTypeOf<Exclude<FailureStatus, typeof failureStatus.cachedFailure>>().toExtend<BuildStatus>();
    expect(stepStatus).toMatchObject(failureStatus);
  });

  it("have their names wherever they are compared or assigned", () => {
    const files = rooms.flatMap((room) =>
      readdirSync(join(root, "lib", room), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
        .map((entry) => relative(root, join(entry.parentPath, entry.name))),
    );
    expect(files.length).toBeGreaterThan(100);
    const found = files
      .filter((path) => !homes.some((home) => path.startsWith(home)))
      .flatMap((path) => bareNumbers(readFileSync(join(root, path), "utf8")).map((one) => `${path}: ${one}`));
    expect(found).toEqual([]);
  });

  it("would be found without their names", () => {
    const samples = [
      "if (end.status === 4) forget();",
      "return { status: 0, error };",
      "let status: 0 | 6 = 0;",
      "readonly status: 0 | 6;",
      "status = 6;",
      "return { ...trouble, exhausted: 3 };",
      "const s = statuses.get(id) ?? 4;",
      "if (3 === row.status) {}",
      "WHERE s.status = 3 AND b.buildstatus IN (0, 6)",
      "SET busy = 0, status = 3",
      "await recorder.orphanRow(row, 3)",
      "steps.fail(core, step, 9, reason)",
      "stepDraft({ type: 1, drvPath })",
    ];
    expect(samples.filter((sample) => bareNumbers(sample).length === 0)).toEqual([]);
    const fine = [
      "status: stepStatus.failed",
      "response.status === 404",
      "{ status: 200 }",
      "s.status = i.status",
      "status = $3",
      "status IS NULL",
    ];
    expect(fine.filter((sample) => bareNumbers(sample).length > 0)).toEqual([]);
  });
});
