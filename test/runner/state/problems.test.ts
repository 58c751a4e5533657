/** The registry of problems: what lasts, since when, and who hears of it. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { createLogger } from "../../../lib/log.js";
import { EventBus } from "../../../lib/runner/events/index.js";
import { writeJournal } from "../../../lib/runner/events/journal.js";
import { announceProblems } from "../../../lib/runner/state/problem-events.js";
import { problemKinds } from "../../../lib/runner/state/problem-kinds.js";
import { type ProblemEvent, Problems } from "../../../lib/runner/state/problems.js";

function registry() {
  const clock = { now: 1_000 };
  const lines: string[] = [];
  const problems = new Problems({ now: () => clock.now });
  const bus = new EventBus();
  writeJournal(bus, createLogger({ target: "t", write: (line) => lines.push(line) }));
  announceProblems(problems, bus);
  return { clock, lines, problems };
}

it("lists a problem from its beginning to its end, with the newest cause", async () => {
  const { clock, lines, problems } = registry();
  problems.begin({ code: "upload-failing", subject: "a", cause: new Error("refused") });
  clock.now = 3_000;
  problems.begin({ code: "upload-failing", subject: "a", cause: new Error("silent", { cause: "x" }) });
  expect(problems.present).toMatchObject([
    {
      part: "uploads",
      subject: "a",
      reason: "silent: x",
      since: 1_000,
      advice: expect.stringMatching(/.{20}/),
    },
  ]);
  problems.end("upload-failing", "b");
  expect(problems.present).toHaveLength(1);
  problems.end("upload-failing", "a");
  problems.end("upload-failing", "a");
  expect(problems.present).toEqual([]);
  // One line each, whatever happened in between.
  await Promise.resolve();
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/WARN.*problem.*part=uploads.*subject=a.*refused/);
  expect(lines[1]).toMatch(/INFO.*problem is over.*lastedMs=2000/);
});

it("announces both ends to those who subscribe", () => {
  const { clock, problems } = registry();
  const events: ProblemEvent[] = [];
  const subscription = problems.subscribe((event) => events.push(event));
  problems.begin({ code: "store-silent", cause: "no answer" });
  clock.now = 1_500;
  problems.end("store-silent");
  subscription[Symbol.dispose]();
  problems.begin({ code: "store-silent", cause: "no answer" });
  expect(events.map(({ kind, at, problem }) => [kind, at, problem.code])).toEqual([
    ["began", 1_000, "store-silent"],
    ["ended", 1_500, "store-silent"],
  ]);
});

it("forgets what was about things that are gone", () => {
  const { problems } = registry();
  for (const subject of ["a", "b"]) problems.begin({ code: "upload-failing", subject, cause: "x" });
  problems.begin({ code: "disk-low", subject: "c", cause: "x" });
  problems.keep("upload-failing", ["b"]);
  expect(problems.present.map(({ subject }) => subject)).toEqual(["b", "c"]);
});

it("knows when nothing can be recorded", () => {
  const { problems } = registry();
  problems.begin({ code: "notifications-lost", cause: "x" });
  expect(problems.canRecord).toBe(true);
  problems.begin({ code: "database-silent", cause: "x" });
  expect(problems.canRecord).toBe(false);
});

it("has kinds that the manual explains", () => {
  const manual = readFileSync("docs/operations.md", "utf8");
  const missing = Object.keys(problemKinds).filter((code) => !manual.includes(`\`${code}\``));
  expect(missing).toEqual([]);
});
