// The file behind the upload journal and the list of unproven paths: whatever was promised to be there is there, whenever a crash comes.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LineFile } from "../lib/line-file.js";

let folder: string;
const path = (): string => join(folder, "lines");
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lines-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("LineFile", () => {
  it("keeps the order of appending and replacing, however they overlap", async () => {
    const step = fc.oneof(
      fc.record({ append: fc.stringMatching(/^[a-z]{1,5}$/), durable: fc.boolean() }),
      fc.record({ replace: fc.array(fc.stringMatching(/^[A-Z]{1,5}$/), { maxLength: 3 }) }),
      fc.constant("wait" as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        await rm(path(), { force: true });
        const file = new LineFile(path());
        expect(await file.load()).toEqual([]);
        let expected: string[] = [];
        let last: Promise<void> = Promise.resolve();
        for (const action of steps) {
          if (action === "wait") await last;
          else if ("append" in action) {
            expected.push(action.append);
            last = file.append(action.append, action);
          } else {
            expected = [...action.replace];
            last = file.replace(action.replace);
          }
        }
        await file.close();
        expect(await new LineFile(path()).load()).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it("leaves out a line that a crash cut off", async () => {
    const file = new LineFile(path());
    await file.append("first", { durable: true });
    await file.append("second", { durable: true });
    await file.close();
    const whole = await readFile(path());
    for (let length = 0; length <= whole.length; length++) {
      await writeFile(path(), whole.subarray(0, length));
      const lines = await new LineFile(path()).load();
      expect(lines).toEqual(["first", "second"].slice(0, length >= 13 ? 2 : length >= 6 ? 1 : 0));
    }
  });

  it("counts the bytes since it was replaced", async () => {
    const file = new LineFile(path());
    await file.append("ä", { durable: false });
    expect(file.size).toBe(3);
    await file.replace(["abc"]);
    expect(file.size).toBe(4);
    await file.replace([]);
    expect(file.size).toBe(0);
    await file.close();
  });
});
