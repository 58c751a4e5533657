/** Probes of disks. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { lowSpace, spaceProbe, writeProbe } from "../../../lib/runner/service/probes.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-probe-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("writes, and leaves nothing behind", async () => {
  await writeProbe(join(folder, "new"));
  expect(await readdir(join(folder, "new"))).toEqual([]);
});

it("says why nothing can be written", async () => {
  await writeFile(join(folder, "file"), "");
  await expect(writeProbe(join(folder, "file"))).rejects.toMatchObject({ code: "EEXIST" });
  await expect(writeProbe("/dev/full/below")).rejects.toThrow(/dev\/full/);
});

it("asks the disk of the folder", async () => {
  await expect(spaceProbe(join(folder, "absent"))).rejects.toMatchObject({ code: "ENOENT" });
});

it.each([
  [0, 0, undefined],
  [2 ** 30, 2 ** 45, undefined],
  [2 ** 30 - 1, 2 ** 45, "1023 MiB of 33554432 MiB are free"],
  [50_000, 4 * 2 ** 20, undefined],
  [0, 4 * 2 ** 20, "0 MiB of 4 MiB are free"],
])("%i bytes of %i", (free, size, expected) => {
  expect(lowSpace({ free, size })).toBe(expected);
});
