import { describe, expect, test } from "vitest";
import { Mutex, turn } from "../../lib/async/index.js";

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
