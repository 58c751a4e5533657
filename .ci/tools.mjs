// The programs of the development dependencies, found on PATH: `npx` takes most of a second of processor time for each.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * The environment to start them in. Without more certificates: each process of Node would read them at its start, which
 * takes longer than all else that it does there, and a run of the tests starts hundreds.
 */
export const environment = {
  ...process.env,
  NODE_EXTRA_CA_CERTS: undefined,
  PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
};

/** What is checked does not hold, in words for the log. */
export class Failed extends Error {}

/** Runs `work` in a folder that is removed afterwards. When it throws `Failed`, the process ends with that and 1. */
export async function checkInFolder(name, work) {
  const folder = mkdtempSync(join(tmpdir(), `check-${name}-`));
  let problem;
  try {
    await work(folder);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    problem = error.message;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (problem === undefined) return;
  process.stderr.write(`${name}: ${problem}\n`);
  process.exit(1);
}
