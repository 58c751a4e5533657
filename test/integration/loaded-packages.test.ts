// What the programs load where no store is on S3: everything else is left to those who use it.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hasLoaded, loadedKilobytes, loadedPackages, recordLoading } from "../support/loaded-packages.js";
import { shellDerivation } from "../support/nix.js";
import { builderProgram, usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

let folder = "";
const runnerFile = (): string => join(folder, "runner");
const builderFile = (): string => join(folder, "builder");

// Runs after the programs have ended, as hooks at the end run in reverse order.
afterAll(() => rm(folder, { recursive: true, force: true }));

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "loaded-"));
  return {
    databaseUrl: await testDatabase(),
    runnerEnv: recordLoading(runnerFile()),
    builderEnv: recordLoading(builderFile()),
  };
});

/** Besides what is part of the programs' own files. */
const expectLight = (): void => {
  expect(loadedPackages(builderFile())).toEqual([]);
  expect(loadedPackages(runnerFile())).toEqual([]);
  // What is read, parsed and kept at a start; 774 and 1,585 when this was written.
  expect(loadedKilobytes(builderFile())).toBeLessThan(900);
  expect(loadedKilobytes(runnerFile())).toBeLessThan(1_750);
};

test("an idle runner and an idle builder have not loaded the AWS SDK", expectLight);

test("nor have they when they have built and uploaded to a folder", async () => {
  await pair().tables.waitFinished(await pair().build(shellDerivation("one", "echo > $out")));
  const loaded = [...loadedPackages(runnerFile()), ...loadedPackages(builderFile())];
  expect(loaded).not.toContain("@aws-sdk");
});

test("nor anything of traces, which nothing asks for", async () => {
  // A name that stands in that code alone.
  const sign = "OTEL_BSP_SCHEDULE_DELAY";
  const chunks = join(dirname(builderProgram), "chunks");
  const texts = await Promise.all(
    (await readdir(chunks)).map((name) => readFile(join(chunks, name), "utf8")),
  );
  expect(texts.filter((text) => text.includes(sign))).toHaveLength(1);
  expect([runnerFile(), builderFile()].map((file) => hasLoaded(file, sign))).toEqual([false, false]);
});
