// The runner's data folder and roots on a disk that fills, or can only be read, while builds end.
import { execFile } from "node:child_process";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { isSystemError } from "../../lib/errors.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

const run = promisify(execFile);
let disk = "";
let mounted = false;

// Registered before the pair's, so it runs after the pair has ended.
afterAll(async () => {
  if (mounted) await run("umount", ["-l", disk]);
  await rm(disk, { recursive: true, force: true });
});

const pair = usePair(async () => {
  disk = await mkdtemp(join(tmpdir(), "hydra-disk-"));
  // Without the right to mount, the disk is a large one and the test shows less.
  mounted = await run("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]).then(
    () => true,
    () => false,
  );
  return {
    databaseUrl: await testDatabase(),
    builders: [{ settings: { maxJobs: 8 } }],
    runner: { hydraDataDir: disk, rootsDir: join(disk, "roots") },
  };
});

/** Takes every byte that is left. */
async function fill(): Promise<() => Promise<void>> {
  const path = join(disk, "filler");
  if (!mounted) return async () => {};
  const file = await open(path, "w");
  try {
    for (const size of [65_536, 4096, 1]) {
      try {
        for (;;) await file.write(Buffer.alloc(size));
      } catch (error) {
        if (!isSystemError(error) || error.code !== "ENOSPC") throw error;
      }
    }
  } finally {
    await file.close();
  }
  return () => rm(path);
}

/** Lays a read-only mount over each folder: files that are open can still be written, nothing can be made or renamed. */
async function makeReadOnly(...folders: readonly string[]): Promise<() => Promise<void>> {
  for (const folder of folders) {
    await until(`a read-only ${folder}`, async () => {
      await run("mount", ["--bind", folder, folder]);
      try {
        await run("mount", ["-o", "remount,ro,bind", folder]);
        return true;
      } catch {
        // Busy: something was opened for writing between the two.
        await run("umount", ["-l", folder]);
        return false;
      }
    });
  }
  return async () => {
    for (const folder of folders) await run("umount", ["-l", folder]);
  };
}

test("eight builds end while the disk is full, and are recorded when it is not", {
  timeout: 180_000,
}, async () => {
  const { tables, runner } = pair();
  const ids = await pair().build(
    ...Array.from({ length: 8 }, (_, index) =>
      shellDerivation(
        `full-${index}`,
        `/bin/busybox sleep 6; echo the log of ${index}; ${index % 4 === 3 ? "exit 1" : "echo > $out"}`,
      ),
    ),
  );
  for (const id of ids) await tables.waitBusy(id);
  const free = await fill();
  await sleep(11_000);
  await free();
  await tables.waitFinished(ids);
  const rows = await tables.rows(ids);
  expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual([0, 0, 0, 1, 0, 0, 0, 1]);
  expect(await tables.busySteps()).toEqual([]);
  expect(runner.running).toBe(true);
  expect(rows.BuildSteps.filter(({ type }) => type === 0)).toHaveLength(8);
});

test("builds end while the disk is read-only, and have records, logs and roots when it is not", {
  timeout: 180_000,
}, async ({ skip }) => {
  if (!mounted) skip("file systems cannot be mounted here");
  const { tables, runner } = pair();
  const ids = await pair().build(
    ...[0, 1, 2, 3].map((index) =>
      shellDerivation(
        `read-only-${index}`,
        `/bin/busybox sleep 6; echo the log of ${index}; ${index === 3 ? "exit 1" : "echo > $out"}`,
      ),
    ),
  );
  for (const id of ids) await tables.waitBusy(id);
  const folders = ["build-logs", "roots", "queue-runner"].map((name) => join(disk, name));
  const writable = await makeReadOnly(...folders);
  // What failed needs no root, and a log never holds up a build.
  await tables.waitFinished(ids.slice(3));
  await sleep(4000);
  expect((await readdir(join(disk, "roots"))).filter((name) => name.includes("-read-only-"))).toEqual([]);
  await writable();
  await tables.waitFinished(ids);
  const rows = await tables.rows(ids);
  expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual([0, 0, 0, 1]);
  expect(await tables.busySteps()).toEqual([]);
  expect(runner.running).toBe(true);
  const outputs = rows.BuildStepOutputs.map(({ path }) => String(path).slice("/nix/store/".length));
  const good = outputs.filter((name) => !name.endsWith("-3"));
  await until("the roots", async () => {
    const roots = await readdir(join(disk, "roots"));
    return good.every((output) => roots.includes(output));
  });
});
