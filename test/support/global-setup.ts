// Compiles the programs once, because tests that start real processes run what users run: dist/bin.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export function setup(): void {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  try {
    execFileSync("node", [".ci/build.mjs"], { cwd: root, stdio: "pipe" });
  } catch (error) {
    // The type check is a step of its own; here only the emitted files matter.
    if (!(error instanceof Error)) throw error;
  }
}
