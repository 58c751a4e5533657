// What is read of outputs, and a store that is a child process, while nothing can be opened: waiting or an error, no verdict.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { debugInfoIds } from "../../lib/builder/presigned/debug-info-ids.js";
import { errorChain } from "../../lib/errors.js";
import { openTransport } from "../../lib/nix/daemon/transport.js";
import { parseStoreDir, parseStorePath } from "../../lib/nix/path/store-path.js";
import { readNixSupport } from "../../lib/nix-support/index.js";
import { leaveDescriptors } from "../support/few-descriptors.js";

const output = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-out");
const storeDir = parseStoreDir("/nix/store");
let realStoreDir = "";

beforeAll(async () => {
  realStoreDir = await mkdtemp(join(tmpdir(), "hydra-few-"));
  const folder = join(realStoreDir, output, "nix-support");
  await mkdir(folder, { recursive: true });
  await writeFile(join(realStoreDir, output, "doc"), "text");
  await writeFile(join(folder, "hydra-build-products"), `file doc ${storeDir}/${output}/doc\n`);
  await writeFile(join(folder, "hydra-metrics"), "seconds 7\n");
  const ids = join(realStoreDir, output, "lib/debug/.build-id/ab");
  await mkdir(ids, { recursive: true });
  await writeFile(join(ids, `${"c".repeat(38)}.debug`), "");
});
afterAll(() => rm(realStoreDir, { recursive: true, force: true }));

/** What `work` resolves to when descriptors come back after it has begun. */
async function without<T>(work: () => Promise<T>): Promise<T> {
  const giveBack = await leaveDescriptors(0);
  const begun = work();
  begun.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await giveBack();
  return begun;
}

test("products and metrics of a build are not lost", async () => {
  const report = await without(() => readNixSupport({ storeDir, realStoreDir }, "out", output));
  expect(report.dropped).toEqual([]);
  expect(report.products).toMatchObject([{ name: "doc", fileSize: 4, sha256: expect.any(String) }]);
  expect(report.metrics).toMatchObject([{ name: "seconds", value: 7 }]);
});

test("debug information is found", async () => {
  expect(await without(() => debugInfoIds(realStoreDir, output))).toEqual([`ab${"c".repeat(38)}`]);
});

test("a store that is a child process is not there, which is a typed error", async () => {
  const places = { storeDir, realStoreDir, stateDir: realStoreDir };
  const opened = without(() => openTransport({ ...places, kind: "spawn", store: "daemon", env: {} }));
  await expect(opened).rejects.toMatchObject({ code: "connect" });
  expect(await opened.catch(errorChain)).toContain("EMFILE");
});
