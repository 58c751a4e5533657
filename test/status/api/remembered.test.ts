/** Answers that are shared by those that ask at about the same time. */
import { describe, expect, it } from "vitest";
import { Remembered } from "../../../lib/status/api/remembered.js";

describe("an answer", () => {
  it("is made once for all that ask, and again after its time", async () => {
    let [now, made] = [0, 0];
    const answer = new Remembered(async () => ++made, { clock: () => now });
    expect(await Promise.all([answer.get(), answer.get()])).toEqual([1, 1]);
    now = 999;
    expect(await answer.get()).toBe(1);
    now = 1_000;
    expect(await answer.get()).toBe(2);
  });

  it("that costs much is kept for longer, within bounds", async () => {
    let [now, made] = [0, 0];
    const answer = new Remembered(
      () => {
        now += made === 0 ? 40 : 400;
        return ++made;
      },
      { restFactor: 50, clock: () => now },
    );
    expect(await answer.get()).toBe(1);
    now = 40 + 1_999;
    expect(await answer.get()).toBe(1);
    now = 40 + 2_000;
    expect(await answer.get()).toBe(2);
    now += 4_999;
    expect(await answer.get()).toBe(2);
    now += 1;
    expect(await answer.get()).toBe(3);
  });

  it("that could not be made is not kept", async () => {
    let made = 0;
    const answer = new Remembered(async () => {
      if (made++ === 0) throw new Error("away");
      return made;
    });
    await expect(answer.get()).rejects.toThrow("away");
    expect(await answer.get()).toBe(2);
  });
});
