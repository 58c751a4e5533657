// Usual durations: who waits for them, and when they are read again.
import { expect, it } from "vitest";
import { turn } from "../../../lib/async/index.js";
import { silentLogger } from "../../../lib/log.js";
import { UsualDurations } from "../../../lib/runner/ingestion/usual-durations.js";

const gcc = { name: "gcc", system: "x86_64-linux" };

interface Question {
  readonly resolve: (answer: Map<string, number>) => void;
  readonly reject: (error: Error) => void;
}

/** Questions to the database, which the test answers. */
function subject() {
  const questions: Question[] = [];
  const clock = { ms: 1_000_000 };
  const durations = new UsualDurations({
    database: {
      stepDurations: () => new Promise((resolve, reject) => questions.push({ resolve, reject })),
    },
    logger: silentLogger,
    now: () => clock.ms,
  });
  return { durations, questions, clock };
}

it("are waited for when none are known, by all with one question", async () => {
  const { durations, questions } = subject();
  let waiting = 2;
  const both = [1, 2].map(() => durations.load().then(() => waiting--));
  await Promise.resolve();
  expect([waiting, questions.length, durations.loaded]).toEqual([2, 1, false]);
  questions[0]?.resolve(new Map([["x86_64-linux/gcc", 90]]));
  await Promise.all(both);
  expect(durations.loaded).toBe(true);
  expect(durations.ofKind(gcc)).toBe(90_000);
  expect(durations.ofKind({ ...gcc, system: "aarch64-linux" })).toBeUndefined();
});

it("are read again after ten minutes, without a wait", async () => {
  const { durations, questions, clock } = subject();
  const first = durations.load();
  questions[0]?.resolve(new Map([["x86_64-linux/gcc", 90]]));
  await first;
  clock.ms += 599_999;
  await durations.load();
  expect(questions).toHaveLength(1);
  clock.ms += 1;
  await durations.load();
  await durations.load();
  expect(questions).toHaveLength(2);
  expect(durations.ofKind(gcc)).toBe(90_000);
  questions[1]?.resolve(new Map([["x86_64-linux/gcc", 60]]));
  await turn();
  expect(durations.ofKind(gcc)).toBe(60_000);
});

it("are done without where the database does not answer, and asked for again", async () => {
  const { durations, questions } = subject();
  const first = durations.load();
  questions[0]?.reject(new Error("away"));
  await first;
  expect([durations.loaded, durations.ofKind(gcc)]).toEqual([false, undefined]);
  const second = durations.load();
  expect(questions).toHaveLength(2);
  questions[1]?.resolve(new Map([["x86_64-linux/gcc", 60]]));
  await second;
  expect(durations.ofKind(gcc)).toBe(60_000);
});
