// Repeating transactions, batches with a rotten item, holds and announcements.
import { describe, expect, it } from "vitest";
import { DatabaseError } from "../../../lib/database/errors.js";
import type { SqlSession } from "../../../lib/database/recording/index.js";
import { StepNumbers } from "../../../lib/database/recording/step-numbers.js";
import { silentLogger } from "../../../lib/log.js";
import { AnnouncedBuilds } from "../../../lib/runner/recording/announced-builds.js";
import { RecordingBatch } from "../../../lib/runner/recording/batch.js";
import { Holds } from "../../../lib/runner/recording/holds.js";
import { RetryingTransactions, troubleOf } from "../../../lib/runner/recording/retrying-transactions.js";
import { buildId } from "../../../lib/scheduler/ids.js";

const nothing: SqlSession = { query: () => Promise.resolve({ rows: [], rowCount: 0 }) };

function retrying(failures: unknown[]): RetryingTransactions {
  return new RetryingTransactions({
    database: {
      transaction: (work) => {
        const failure = failures.shift();
        return failure === undefined ? work(nothing) : Promise.reject(failure);
      },
    },
    logger: silentLogger,
    signal: undefined,
    random: () => 0,
  });
}

const coded = (code: string): Error => Object.assign(new Error(code), { code });

describe("trouble", () => {
  it("is told apart by what trying again would bring", () => {
    expect(troubleOf(coded("40P01"))).toBe("passing");
    expect(troubleOf(coded("ECONNREFUSED"))).toBe("passing");
    expect(troubleOf(coded("53100"))).toBe("passing");
    expect(troubleOf(coded("25006"))).toBe("passing");
    expect(troubleOf(coded("23514"))).toBe("doubtful");
    expect(troubleOf("odd")).toBe("doubtful");
    expect(troubleOf(new DatabaseError("unknown-outcome", ""))).toBe("passing");
    expect(troubleOf(new DatabaseError("fenced", ""))).toBe("final");
    expect(troubleOf(new DatabaseError("closed", ""))).toBe("final");
    expect(troubleOf(new DatabaseError("schema", ""))).toBe("doubtful");
  });

  it("that passes is waited out; what is wrong with the data is not tried for ever", async () => {
    const passing = retrying([coded("40001"), coded("57P01"), coded("ECONNRESET")]);
    expect(await passing.run("it", () => Promise.resolve("done"))).toBe("done");
    expect(passing.failures).toBe(3);
    const rotten = retrying(Array.from({ length: 20 }, () => coded("23514")));
    await expect(rotten.run("it", () => Promise.resolve(), { doubtfulTries: 2 })).rejects.toMatchObject({
      code: "23514",
    });
    expect(rotten.failures).toBe(1);
  });
});

describe("batches", () => {
  it("share a transaction, and split when one item is refused", async () => {
    const runs: number[][] = [];
    const batch = new RecordingBatch<number, number>({
      transactions: retrying([]),
      what: "numbers",
      write: (_, items) => {
        runs.push([...items]);
        return items.includes(13)
          ? Promise.reject(new DatabaseError("closed", "13"))
          : Promise.resolve(items.map((item) => item * 2));
      },
      limit: 10,
    });
    expect(await Promise.all([1, 2, 3].map((item) => batch.record(item)))).toEqual([2, 4, 6]);
    expect(runs).toEqual([[1, 2, 3]]);
    const settled = await Promise.allSettled([4, 13, 5].map((item) => batch.record(item)));
    expect(settled.map((one) => (one.status === "fulfilled" ? one.value : "refused"))).toEqual([
      8,
      "refused",
      10,
    ]);
    expect(runs.slice(1)).toEqual([[4, 13, 5], [4], [13], [5]]);
  });
});

describe("memory", () => {
  it("holds count", () => {
    const holds = new Holds();
    const [a, b] = [buildId(1), buildId(2)];
    holds.hold([a, b]);
    holds.hold([a]);
    holds.release([a, b]);
    expect([holds.has(a), holds.has(b)]).toEqual([true, false]);
    holds.release([a]);
    holds.release([a]);
    holds.hold([a]);
    holds.release([a]);
    expect(holds.has(a)).toBe(false);
  });

  it("builds are announced once for each try", () => {
    const announced = new AnnouncedBuilds();
    const [a, b] = [buildId(1), buildId(2)];
    expect(announced.take([a, b, a])).toEqual([a, b]);
    expect(announced.take([a])).toEqual([]);
    announced.forget([a]);
    expect(announced.take([a, b])).toEqual([a]);
  });

  it("step numbers never go back, not even when they are read while others are given out", async () => {
    const numbers = new StepNumbers();
    let answer: (() => void) | undefined;
    const slow: SqlSession = {
      query: () =>
        new Promise((resolve) => {
          answer = () => resolve({ rows: [{ build: 1, highest: 3 }], rowCount: 1 });
        }),
    };
    const first = numbers.load(slow, [1]);
    answer?.();
    await first;
    expect(numbers.next(1)).toBe(4);
    const second = numbers.reload(slow, [1]);
    expect(numbers.next(1)).toBe(5);
    answer?.();
    await second;
    expect(numbers.next(1)).toBe(6);
    numbers.forget(1);
    const third = numbers.load(slow, [1]);
    answer?.();
    await third;
    expect(numbers.next(1)).toBe(4);
  });
});
