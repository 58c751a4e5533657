import fc from "fast-check";
import { expect, test } from "vitest";
import { FairTurns, TurnShare, turn } from "../../lib/async/index.js";

test("a turn takes so many pieces, by turns between causes and in order within each", async () => {
  const turns = new FairTurns<string>(3);
  const done: string[] = [];
  for (let index = 1; index <= 4; index++) turns.add("many", () => done.push(`many ${index}`));
  turns.add("few", () => done.push("few 1"));
  expect(done).toEqual([]);
  await turn();
  expect(done).toEqual(["many 1", "few 1", "many 2"]);
  await turn();
  expect(done).toEqual(["many 1", "few 1", "many 2", "many 3", "many 4"]);
});

test("work that work adds is done, and a cause that comes back is served", async () => {
  const turns = new FairTurns<string>(1);
  const done: string[] = [];
  turns.add("a", () => {
    done.push("first");
    turns.add("a", () => done.push("second"));
  });
  await turn();
  await turn();
  await turn();
  turns.add("a", () => done.push("third"));
  await turn();
  expect(done).toEqual(["first", "second", "third"]);
});

test("work goes on at once while the turn's share lasts, and then in order of asking", async () => {
  const share = new TurnShare(10);
  const done: string[] = [];
  const ask = (name: string, units: number): void => {
    void Promise.resolve(share.take(units)).then(() => done.push(name));
  };
  expect(share.take(4)).toBeUndefined();
  // One piece may be larger than what is left.
  expect(share.take(20)).toBeUndefined();
  ask("a", 6);
  ask("b", 6);
  ask("c", 1);
  expect(done).toEqual([]);
  await turn();
  await turn();
  expect(done.slice(0, 2)).toEqual(["a", "b"]);
  await turn();
  expect(done).toEqual(["a", "b", "c"]);
  await turn();
  await turn();
  expect(share.take(1)).toBeUndefined();
});

test("all who ask are served in order, and no turn takes more than its share and one piece", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 15 }), { maxLength: 60 }), async (pieces) => {
      const share = new TurnShare(10);
      const served: number[] = [];
      const perTurn: number[] = [0];
      const all = Promise.all(
        pieces.map(async (units, index) => {
          await share.take(units);
          served.push(index);
          perTurn[perTurn.length - 1] = (perTurn.at(-1) ?? 0) + units;
        }),
      );
      // What goes on at once and what is served at the end of the same turn count as two.
      await Promise.resolve();
      perTurn.push(0);
      for (let left = pieces.length + 1; left > 0; left--) {
        await turn();
        perTurn.push(0);
      }
      await all;
      expect(served).toEqual(pieces.map((_, index) => index));
      expect(Math.max(...perTurn)).toBeLessThan(10 + 15);
    }),
  );
});
