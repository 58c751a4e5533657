import { describe, expect, it } from "vitest";
import { MadeOnce } from "../../lib/async/index.js";

describe("a value that is made once", () => {
  it("is made by the first caller, for all", async () => {
    let count = 0;
    const value = new MadeOnce(async () => ++count);
    expect(value.made).toBeUndefined();
    expect(await Promise.all([value.get(), value.get()])).toEqual([1, 1]);
    expect(await value.get()).toBe(1);
    expect(await value.made).toBe(1);
  });

  it("is made again after a failure, which all that waited get", async () => {
    let count = 0;
    const value = new MadeOnce(async () => {
      if (++count === 1) throw new Error("no descriptor left");
      return count;
    });
    const first = await Promise.allSettled([value.get(), value.get()]);
    expect(first.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(value.made).toBeUndefined();
    expect(await value.get()).toBe(2);
  });
});
