import { expect, test } from "vitest";
import { FairTurns, turn } from "../../lib/async/index.js";

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
