/** The heap of a program that works, and of one that rests afterwards. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ScratchFolder, scratchFolder } from "./child.js";

let folder: ScratchFolder;
beforeAll(async () => {
  folder = await scratchFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

interface Sizes {
  readonly newSpace: number;
  readonly used: number;
  readonly total?: number;
}

it("gets room while the program works, and is collected when it has rested for some seconds", async () => {
  const child = await folder.start(`
    import v8 from "node:v8";
    const newSpace = () => v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size;
    const used = () => process.memoryUsage().heapUsed;
    const total = () => process.memoryUsage().heapTotal;
    lib.keepHeapSmall();
    let kept = [];
    const until = Date.now() + 4_000;
    while (Date.now() < until) {
      const some = Array.from({ length: 2_000 }, (_, n) => new Promise((done) => setImmediate(() => done({ n, text: "x".repeat(20) + n }))));
      kept.push(...(await Promise.all(some)));
      if (kept.length > 100_000) kept = [];
    }
    while (kept.length < 100_000) kept.push({ n: kept.length, text: "x".repeat(20) + kept.length });
    const worked = { newSpace: newSpace(), used: used() };
    // What is left lies scattered over the pages of all that was there.
    kept = kept.filter((_, n) => n % 10 === 0);
    const deadline = Date.now() + 60_000;
    while ((used() > worked.used / 2 || total() > 20e6) && Date.now() < deadline) await new Promise((done) => setTimeout(done, 100));
    console.log(JSON.stringify([worked, { newSpace: newSpace(), used: used(), total: total() }, kept.length]));
  `);
  const [worked, rested] = JSON.parse(await child.line()) as [Sizes, Sizes, number];
  expect(worked.newSpace).toBeGreaterThan(3 << 20);
  expect(rested.used).toBeLessThan(worked.used / 2);
  expect(rested.total).toBeLessThan(20e6);
  expect((await child.ended).code).toBe(0);
});
