// In which order builds wait for ends of steps; the ends are promises of the test.
import { describe, expect, it } from "vitest";
import { turn } from "../../../lib/async/index.js";
import { ExpectedEnds } from "../../../lib/runner/recording/holds.js";
import { buildId } from "../../../lib/scheduler/ids.js";
import { simpleAttempt } from "../../support/recording.js";

const [one, two] = [buildId(1), buildId(2)];

async function isSettled(waits: readonly Promise<void>[]): Promise<boolean> {
  return Promise.race([Promise.all(waits).then(() => true), turn().then(() => false)]);
}

describe("a build", () => {
  it("waits for ends of its own steps only, and not for its own end", () => {
    const ends = new ExpectedEnds(60_000);
    const [input, own] = [simpleAttempt(1, "input"), simpleAttempt(1, "own")];
    expect(ends.before(undefined, [one])).toEqual([]);
    ends.add(input);
    ends.add(own);
    expect(ends.before(own, [one])).toHaveLength(1);
    expect(ends.before(own, [two])).toEqual([]);
    expect(ends.before(undefined, [one, two])).toHaveLength(2);
  });

  it("does not wait for an end that waits for its own", () => {
    const ends = new ExpectedEnds(60_000);
    // Each decides the build that the other's row belongs to.
    const [first, second] = [simpleAttempt(1, "first", [2]), simpleAttempt(2, "second", [1])];
    ends.add(first);
    ends.add(second);
    expect(ends.before(first, [two])).toEqual([]);
    expect(ends.before(second, [one])).toHaveLength(1);
  });

  it("goes on when the end is recorded, and forgets it", async () => {
    const ends = new ExpectedEnds(60_000);
    const recorded = ends.add(simpleAttempt(1));
    const waits = ends.before(undefined, [one]);
    expect(await isSettled(waits)).toBe(false);
    recorded();
    await Promise.all(waits);
    expect(ends.before(undefined, [one])).toEqual([]);
  });

  it("does not wait longer than it may, once for all that wait for the same end", async () => {
    const ends = new ExpectedEnds(30);
    ends.add(simpleAttempt(1));
    const waits = ends.before(undefined, [one]);
    await Promise.all(waits);
    expect(ends.before(undefined, [one])).toEqual(waits);
    expect(ends.before(undefined, [one])[0]).toBe(waits[0]);
  });
});
