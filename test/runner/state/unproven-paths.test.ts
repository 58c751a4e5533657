// Which paths are believed, by whom, and what a later runner knows of them.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { turn } from "../../../lib/async/index.js";
import { parseStorePath, type StorePath } from "../../../lib/nix/path/store-path.js";
import { UnprovenPaths } from "../../../lib/runner/state/unproven-paths.js";
import { attemptId } from "../../../lib/scheduler/ids.js";

const path = (letter: string): StorePath => parseStorePath(`${letter.repeat(32)}-p`);
const [a, b] = [path("a"), path("b")] as const;
const one = attemptId("11111111-1111-4111-8111-111111111111");
const two = attemptId("22222222-2222-4222-8222-222222222222");

/** Unproven paths, and what a runner that is started now would be given. */
function withMemory(before: readonly StorePath[] = []) {
  const kept: { paths: readonly StorePath[]; saves: number } = { paths: before, saves: 0 };
  const unproven = new UnprovenPaths({
    before,
    memory: {
      save: async (paths) => {
        kept.paths = paths();
        kept.saves++;
      },
    },
    background: (work) => void work(),
  });
  return { unproven, kept };
}

describe("a path that arrives", () => {
  test("is unproven, and known to a later runner, before its first byte is taken", async () => {
    const { unproven, kept } = withMemory();
    await unproven.arriving(a, [one]);
    expect(kept.paths).toEqual([a]);
    expect(unproven.has(a)).toBe(true);
    expect(unproven.claims(a, one)).toBe(true);
    expect(unproven.arrivedFor(a, one)).toBe(false);
  });

  test("is not taken when it cannot be noted", async () => {
    const full = new Error("the disk is full");
    const memory = { save: () => Promise.reject(full) };
    const unproven = new UnprovenPaths({ memory, background: () => {} });
    await expect(unproven.arriving(a, [one])).rejects.toBe(full);
    // What is in doubt stays unproven.
    expect(unproven.has(a)).toBe(true);
  });

  test("is not taken for a second sender either before it is noted", async () => {
    const writes: (() => void)[] = [];
    const memory = {
      save: () => new Promise<void>((resolve) => writes.push(resolve)),
    };
    const unproven = new UnprovenPaths({ memory, background: () => {} });
    const taken: string[] = [];
    const first = unproven.arriving(a, [one]).then(() => taken.push("first"));
    const second = unproven.arriving(a, [two]).then(() => taken.push("second"));
    await turn();
    expect(taken).toEqual([]);
    for (const write of writes) write();
    await Promise.all([first, second]);
    expect(taken).toEqual(["first", "second"]);
  });

  test("is noted for the next sender when the first gave up", async () => {
    const gone = new Error("the sender is gone");
    const answers = [Promise.reject(gone), Promise.resolve()];
    let saves = 0;
    const memory = { save: () => answers[saves++] ?? Promise.resolve() };
    const unproven = new UnprovenPaths({ memory, background: () => {} });
    await expect(unproven.arriving(a, [one])).rejects.toBe(gone);
    await unproven.arriving(a, [two]);
    expect(saves).toBe(2);
  });

  test("is noted once, for whichever attempts it comes", async () => {
    const { unproven, kept } = withMemory();
    await unproven.arriving(a, [one]);
    await unproven.arriving(a, [two]);
    expect(kept.saves).toBe(1);
  });

  test("is in doubt again while another attempt sends it", async () => {
    const { unproven } = withMemory();
    await unproven.arriving(a, [one]);
    unproven.arrived(a, [one]);
    expect(unproven.arrivedFor(a, one)).toBe(true);
    await unproven.arriving(a, [one]);
    expect(unproven.arrivedFor(a, one)).toBe(false);
  });

  test("is not claimed by an attempt that ended on the way", async () => {
    const { unproven } = withMemory();
    await unproven.arriving(a, [one]);
    unproven.attemptOver(one);
    unproven.arrived(a, [one]);
    expect(unproven.arrivedFor(a, one)).toBe(false);
    expect(unproven.leftBehind()).toEqual([a]);
  });
});

describe("a success", () => {
  test("proves its outputs and what else arrived for it, but nothing of others", async () => {
    const { unproven, kept } = withMemory([path("d")]);
    for (const [which, attempt] of [
      [a, one],
      [b, two],
      [path("c"), one],
    ] as const) {
      await unproven.arriving(which, [attempt]);
      unproven.arrived(which, [attempt]);
    }
    unproven.prove(one, [a], new Set());
    expect([a, b, path("c"), path("d")].map((which) => unproven.has(which))).toEqual([
      false,
      true,
      false,
      true,
    ]);
    expect(kept.paths).toEqual([path("d"), b]);
  });

  test("does not prove what is still on its way or was not checked", async () => {
    const { unproven } = withMemory();
    await unproven.arriving(a, [one]);
    await unproven.arriving(b, [one]);
    unproven.arrived(b, [one]);
    unproven.prove(one, [], new Set([b]));
    expect(unproven.has(a)).toBe(true);
    expect(unproven.has(b)).toBe(true);
  });
});

test("what an attempt leaves stays unproven, until another attempt claims it", async () => {
  const { unproven } = withMemory();
  await unproven.arriving(a, [one, two]);
  unproven.attemptOver(one);
  expect(unproven.isClaimed(a)).toBe(true);
  unproven.attemptOver(two);
  expect(unproven.isClaimed(a)).toBe(false);
  expect(unproven.has(a)).toBe(true);
  await unproven.arriving(a, [two]);
  expect(unproven.leftBehind()).toEqual([]);
});

test("a second life begins with what the first left, and believes none of it", async () => {
  const first = withMemory();
  await first.unproven.arriving(a, [one]);
  first.unproven.arrived(a, [one]);
  await first.unproven.arriving(b, [two]);
  first.unproven.prove(one, [a], new Set());
  const second = withMemory(first.kept.paths);
  expect(second.unproven.has(a)).toBe(false);
  expect(second.unproven.has(b)).toBe(true);
  expect(second.unproven.arrivedFor(b, two)).toBe(false);
  expect(second.unproven.leftBehind()).toEqual([b]);
  second.unproven.forget([b]);
  expect(second.kept.paths).toEqual([]);
});

test("all of it is as in a table of who claims what", () => {
  const letters = ["a", "b", "c"];
  const somePath = fc.constantFrom(...letters.map(path));
  const somePaths = fc.subarray(letters.map(path));
  const someAttempts = fc.subarray([one, two]);
  const anAttempt = fc.constantFrom(one, two);
  const step = fc.oneof(
    fc.record({ kind: fc.constant("arriving" as const), path: somePath, attempts: someAttempts }),
    fc.record({ kind: fc.constant("arrived" as const), path: somePath, attempts: someAttempts }),
    fc.record({ kind: fc.constant("prove" as const), attempt: anAttempt, paths: somePaths, not: somePaths }),
    fc.record({ kind: fc.constant("forget" as const), paths: somePaths }),
    fc.record({ kind: fc.constant("over" as const), attempt: anAttempt }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const { unproven } = withMemory();
      const table = new Map<StorePath, Map<string, string>>();
      for (const step of steps) {
        switch (step.kind) {
          case "arriving": {
            const claims = table.get(step.path) ?? new Map<string, string>();
            for (const attempt of step.attempts) claims.set(attempt, "arriving");
            table.set(step.path, claims);
            void unproven.arriving(step.path, step.attempts);
            break;
          }
          case "arrived":
            for (const attempt of step.attempts)
              if (table.get(step.path)?.has(attempt) === true) table.get(step.path)?.set(attempt, "arrived");
            unproven.arrived(step.path, step.attempts);
            break;
          case "prove":
            for (const [which, claims] of table)
              if (claims.get(step.attempt) === "arrived" && !step.not.includes(which)) table.delete(which);
            for (const which of step.paths) table.delete(which);
            unproven.prove(step.attempt, step.paths, new Set(step.not));
            break;
          case "forget":
            for (const which of step.paths) table.delete(which);
            unproven.forget(step.paths);
            break;
          case "over":
            for (const claims of table.values()) claims.delete(step.attempt);
            unproven.attemptOver(step.attempt);
        }
      }
      for (const which of letters.map(path)) {
        const claims = table.get(which);
        expect(unproven.has(which)).toBe(claims !== undefined);
        expect(unproven.isClaimed(which)).toBe((claims?.size ?? 0) > 0);
        for (const attempt of [one, two]) {
          expect(unproven.claims(which, attempt)).toBe(claims?.has(attempt) ?? false);
          expect(unproven.arrivedFor(which, attempt)).toBe(claims?.get(attempt) === "arrived");
        }
      }
    }),
  );
});
