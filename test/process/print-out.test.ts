/** An answer on standard output comes whole, also to a reader that is slow, and one that has had enough is no fault. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ScratchFolder, scratchFolder } from "./child.js";

let scratch: ScratchFolder;
let program = "";
beforeAll(async () => {
  scratch = await scratchFolder();
  program = await scratch.write(`
await lib.runProgram(async () => {
  await lib.printOut("123456789\\n".repeat(200_000));
  console.error("printed");
}, { name: "test", lingerMs: 300 });`);
});
afterAll(() => scratch[Symbol.asyncDispose]());

test.each([
  ["a reader that begins late gets all of it", "(sleep 1.5; wc -l)", "200000\n"],
  ["a reader that has had enough is no fault", "head -n 1", "123456789\n"],
])("%s", async (_, reader, read) => {
  const script = `${process.execPath} ${program} | ${reader}`;
  const { stdout, stderr } = await promisify(execFile)("bash", ["-o", "pipefail", "-c", script]);
  expect({ stdout, stderr }).toEqual({ stdout: read, stderr: "printed\n" });
});
