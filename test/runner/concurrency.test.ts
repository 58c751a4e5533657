import { describe, expect, test } from "vitest";
import { Mutex, mapConcurrently, TaskGroup } from "../../lib/runner/concurrency.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("mapConcurrently", () => {
  test("keeps the order and the limit", async () => {
    let active = 0;
    let most = 0;
    const results = await mapConcurrently([5, 4, 3, 2, 1], 2, async (n) => {
      most = Math.max(most, ++active);
      for (let i = 0; i < n; i++) await turn();
      active--;
      return n * 10;
    });
    expect(results).toEqual([50, 40, 30, 20, 10]);
    expect(most).toBe(2);
  });

  test("the first error wins", async () => {
    await expect(
      mapConcurrently([1, 2, 3], 2, (n) => (n === 2 ? Promise.reject(new Error("two")) : turn())),
    ).rejects.toThrow("two");
  });
});

describe("Mutex", () => {
  test("one at a time, urgent work before waiting work", async () => {
    const mutex = new Mutex();
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} in`);
      await turn();
      order.push(`${name} out`);
    };
    await Promise.all([
      mutex.run(work("a")),
      mutex.run(work("b")),
      mutex.run(work("urgent"), { urgent: true }),
    ]);
    expect(order).toEqual(["a in", "a out", "urgent in", "urgent out", "b in", "b out"]);
  });

  test("an error frees it", async () => {
    const mutex = new Mutex();
    await expect(mutex.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await mutex.run(() => Promise.resolve("yes"))).toBe("yes");
  });
});

describe("TaskGroup", () => {
  test("waits for tasks that start others, and hears of errors", async () => {
    const errors: unknown[] = [];
    const group = new TaskGroup((error) => errors.push(error));
    const done: string[] = [];
    group.start(async () => {
      await turn();
      group.start(async () => {
        await turn();
        done.push("second");
      });
      done.push("first");
      throw new Error("lost");
    });
    expect(await group.drained(5_000)).toBe(true);
    expect(done).toEqual(["first", "second"]);
    expect(errors.map(String)).toEqual(["Error: lost"]);
  });

  test("gives up waiting", async () => {
    const group = new TaskGroup(() => {});
    let end: () => void = () => {};
    group.start(
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    expect(await group.drained(5)).toBe(false);
    end();
    expect(await group.drained(5_000)).toBe(true);
  });
});
