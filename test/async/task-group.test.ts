import { describe, expect, test } from "vitest";
import { TaskGroup, turn } from "../../lib/async/index.js";

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
