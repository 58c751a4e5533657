/** Places for transfers: how many there are, for whom, and who loses one. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  receivedInPlace,
  sentInPlace,
  type TransferPlace,
  TransferPlaces,
  type TransferPlacesOptions,
} from "../../../lib/runner/service/transfer-places.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new AbortController().signal;
const places = (options: Partial<TransferPlacesOptions> = {}): TransferPlaces =>
  new TransferPlaces({ places: 4, patienceMs: 10_000, isShared: () => true, ...options });

describe("places", () => {
  it("are given in order of asking, and given back once", async () => {
    const all = places({ mostOfOne: 4 });
    const taken = await Promise.all(["a", "a", "b", "b"].map((who) => all.take(who, never)));
    const got: string[] = [];
    for (const who of ["c", "d"]) void all.take(who, never).then((place) => got.push(place.who));
    await vi.advanceTimersByTimeAsync(100);
    expect(got).toEqual([]);
    taken[0]?.[Symbol.dispose]();
    taken[0]?.[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(0);
    expect(got).toEqual(["c"]);
    expect(all.counts).toEqual({ taken: 4, waiting: 1 });
  });

  it("are not all for one of several principals, and all for one that is alone", async () => {
    let shared = true;
    const all = places({ isShared: () => shared });
    const got: number[] = [];
    for (let index = 0; index < 4; index++) void all.take("a", never).then(() => got.push(index));
    await vi.advanceTimersByTimeAsync(0);
    expect(got).toEqual([0, 1, 2]);
    // One that came later, and may have it.
    using _other = await all.take("b", never);
    shared = false;
    _other[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(0);
    expect(got).toEqual([0, 1, 2, 3]);
  });

  it("are not waited for any more when the call is over", async () => {
    const all = places({ places: 1, mostOfOne: 1 });
    using place = await all.take("a", never);
    const call = new AbortController();
    const waiting = all.take("b", call.signal);
    call.abort(new Error("over"));
    await expect(waiting).rejects.toThrow("over");
    expect(all.counts).toEqual({ taken: 1, waiting: 0 });
    expect(place.signal.aborted).toBe(false);
  });

  it("are waited for by no more than so many of one principal", async () => {
    const all = places({ places: 1, mostOfOne: 1 });
    using _place = await all.take("a", never);
    for (let count = 0; count < 2; count++) void all.take("b", never, () => 2);
    await expect(all.take("b", never, () => 2)).rejects.toMatchObject({
      code: "resource-exhausted",
    });
    void all.take("c", never, () => 2);
    expect(all.counts).toEqual({ taken: 1, waiting: 3 });
  });
});

describe("10,000 transfers that wait", () => {
  it("are served first those who have the fewest, then in order", async () => {
    const all = places({ places: 8, mostOfOne: 6 });
    const served: string[] = [];
    const work = async (who: string, index: number): Promise<void> => {
      using _place = await all.take(who, new AbortController().signal);
      served.push(`${who}${index}`);
      await Promise.resolve();
    };
    const first = await Promise.all(
      ["a", "a", "a", "a", "a", "a", "b", "b"].map((who) => all.take(who, never)),
    );
    const rest = Array.from({ length: 10_000 }, (_, index) => work(index % 100 === 99 ? "b" : "a", index));
    for (const place of first) place[Symbol.dispose]();
    await Promise.all(rest);
    expect(served).toHaveLength(10_000);
    expect(all.counts).toEqual({ taken: 0, waiting: 0 });
    const ofA = served.filter((one) => one.startsWith("a")).map((one) => Number(one.slice(1)));
    expect(ofA).toEqual(ofA.toSorted((one, other) => one - other));
  });
});

describe("a transfer that its peer keeps waiting", () => {
  it("loses its place while others wait, and only then", async () => {
    const all = places({ places: 1, mostOfOne: 1 });
    const still = await all.take("a", never);
    still.waits();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(still.signal.aborted).toBe(false);
    const next = all.take("b", never);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(still.signal.reason).toMatchObject({ code: "unavailable" });
    expect((await next).who).toBe("b");
  });

  it("does not gain time by a few bytes now and then", async () => {
    const all = places({ places: 1, mostOfOne: 1 });
    const dripping = await all.take("a", never);
    void all.take("b", never);
    for (let second = 0; second < 13; second++) {
      dripping.waits();
      await vi.advanceTimersByTimeAsync(1_000);
      dripping.moved(1_000);
    }
    expect(dripping.signal.aborted).toBe(true);
  });

  it("is not blamed for the time that the runner takes, nor while enough goes on", async () => {
    const all = places({ places: 1, mostOfOne: 1 });
    const slow = await all.take("a", never);
    void all.take("b", never);
    for (let second = 0; second < 60; second++) {
      slow.waits();
      await vi.advanceTimersByTimeAsync(500);
      slow.moved(second % 10 === 0 ? 70_000 : 100);
      await vi.advanceTimersByTimeAsync(5_000);
    }
    expect(slow.signal.aborted).toBe(false);
  });
});

describe("those who keep their places with a trickle", () => {
  /** Each of these moves 10 KB in a second. */
  async function trickle(slow: readonly TransferPlace[], seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      for (const place of slow) place.waits();
      await vi.advanceTimersByTimeAsync(1_000);
      for (const place of slow) place.moved(10_000);
    }
  }

  it("lose one to another who has none, and who goes before more of theirs", async () => {
    const all = places();
    const slow = await Promise.all(["a", "a", "b", "b"].map((who) => all.take(who, never)));
    const got: string[] = [];
    for (const who of ["a", "b", "c"]) void all.take(who, never).then((place) => got.push(place.who));
    await trickle(slow, 12);
    expect(got).toEqual(["c"]);
    await trickle(slow, 60);
    expect(slow.filter(({ signal }) => signal.aborted)).toHaveLength(1);
  });

  it("keep one place", async () => {
    const all = places();
    const slow = await Promise.all(["a", "b", "c", "d"].map((who) => all.take(who, never)));
    void all.take("e", never);
    await trickle(slow, 60);
    expect(slow.every(({ signal }) => !signal.aborted)).toBe(true);
  });
});

async function* two(): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(10);
  yield Buffer.alloc(20);
}

describe("what passes through a place", () => {
  it("is sent at the peer's pace: while the peer has a piece it is up to the peer", async () => {
    using place = await places().take("a", never);
    const pieces = sentInPlace(place, two());
    await pieces.next();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(place.stillMs).toBe(3_000);
    await pieces.next();
    await pieces.next();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(place.stillMs).toBe(3_000);
  });

  it("is received at the peer's pace, and not any more without the place", async () => {
    using place = await places().take("a", never);
    let closed = false;
    async function* slow(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          await new Promise((resolve) => setTimeout(resolve, 3_000));
          yield Buffer.alloc(10);
        }
      } finally {
        closed = true;
      }
    }
    const pieces = receivedInPlace(place, slow());
    const first = pieces.next();
    await vi.advanceTimersByTimeAsync(3_000);
    await first;
    expect(place.stillMs).toBe(3_000);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(place.stillMs).toBe(3_000);
    place.revoke();
    await expect(pieces.next()).rejects.toMatchObject({ code: "unavailable" });
    await vi.advanceTimersByTimeAsync(0);
    expect(closed).toBe(true);
  });
});
