/**
 * Once per run: compiles the programs, because tests that start real processes run what users run (dist/bin), and
 * gives the run a temporary folder of its own. A run that leaves a file, a process or a warning of Node behind fails.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { leftFiles, leftProcesses, processesOf } from "./left-behind.js";
import { makePostgresTemplate } from "./postgres-template.js";
import { setDiskFolder, temporaryParent } from "./temporary-folder.js";

const warningsName = "warnings.txt";
const templateName = "postgres-template";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  // `npm test` has just built.
  if (process.env.HYDRA_RUNNER_IS_BUILT === undefined) {
    try {
      execFileSync("node", [".ci/build.mjs", "--no-check"], { cwd: root, stdio: "pipe" });
    } catch (error) {
      // Mistakes are found by the type check; here only the emitted files matter.
      if (!(error instanceof Error)) throw error;
    }
  }
  const before = process.env.TMPDIR;
  // Short, because the paths of Unix sockets below it are.
  const folder = mkdtempSync(join(temporaryParent(), "ht-"));
  const disk = mkdtempSync(join(tmpdir(), "ht-"));
  setDiskFolder(disk);
  // PostgreSQL may have to run as another user.
  chmodSync(folder, 0o755);
  const warnings = join(folder, warningsName);
  writeFileSync(warnings, "");
  process.env.TMPDIR = folder;
  // Children of tests write their warnings there; the workers have test/support/warnings.ts.
  process.env.NODE_REDIRECT_WARNINGS = warnings;
  // A run that is ended from outside has no teardown.
  const onExit = (): void => remove([folder, disk]);
  process.once("exit", onExit);
  const template = join(folder, templateName);
  if (project.name === "integration") await makePostgresTemplate(template);
  return async () => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    const processes = [...(await leftProcesses(folder)), ...(await leftProcesses(disk))];
    const problems = [
      ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...leftFiles(folder, [warningsName, templateName]).map((name) => `in the temporary folder: ${name}`),
      ...leftFiles(disk, []).map((name) => `in the temporary folder on disk: ${name}`),
      ...readFileSync(warnings, "utf8")
        .split(/\n(?=\(node:)/)
        .filter((text) => text !== ""),
    ];
    process.off("exit", onExit);
    remove([folder, disk]);
    if (problems.length === 0) return;
    process.exitCode = 1;
    throw new Error(`tests left behind:\n${problems.join("\n")}`);
  };
}

/** Removes folders, and ends what was started below them. */
function remove(folders: readonly string[]): void {
  for (const folder of folders) {
    for (const { pid } of processesOf(folder)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Ended meanwhile.
      }
    }
    // Processes that are about to end may still write.
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}
