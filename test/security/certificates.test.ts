/** Builders told apart by their certificates alone: what one subject owns, another cannot take, end or write. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { encodeLog } from "../../lib/rpc/index.js";
import { Certificates } from "../support/certificates.js";
import { LyingBuilder, type LyingBuilderOptions } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

let folder = "";
let certificates: Certificates | undefined;
afterAll(() => rm(folder, { recursive: true, force: true }));
const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "certificates-"));
  certificates = await Certificates.issue(folder, ["runner", "owner", "intruder"]);
  return {
    databaseUrl: await testDatabase(),
    builders: [],
    tls: true,
    runner: { maxRetries: 5 },
    runnerFlags: certificates.runnerFlags("runner"),
  };
});

async function joinAs(name: string, options: LyingBuilderOptions = {}): Promise<LyingBuilder> {
  const identity = await certificates?.identity(name);
  if (identity === undefined) throw new Error("there are no certificates");
  const { cert, key, ca } = identity;
  const tls = { certificate: cert, key, ca };
  return LyingBuilder.join(pair().gatewayUrl, "x86_64-linux", { tls, hostname: "host", ...options });
}

test("another subject does not take over a machine id, under its host name or another", async () => {
  await using owner = await joinAs("owner");
  const { machineId } = owner;
  const refused = { code: "already-exists" };
  await expect(joinAs("intruder", { machineId })).rejects.toMatchObject(refused);
  await expect(joinAs("intruder", { machineId, hostname: "elsewhere" })).rejects.toMatchObject(refused);
  expect(await pair().get("/status/machines")).toMatchObject({ machinesCount: 1 });
  // Its own subject may come back, as after a broken connection.
  await using _again = await joinAs("owner", { machineId });
  expect(await pair().get("/status/machines")).toMatchObject({ machinesCount: 1 });
});

test("the build of another subject is neither ended, nor is its log written", async () => {
  await using owner = await joinAs("owner");
  const [build = 0] = await pair().build(shellDerivation("owned", "echo > $out"));
  const { buildId, drv } = await owner.order(0);
  await using intruder = await joinAs("intruder", { machineId: randomUUID(), hostname: "other" });
  const ended = { state: "buildFailure", importMs: 0, buildMs: 1, uploadMs: 0, error: "forged" } as const;
  for (const machineId of [owner.machineId, intruder.machineId]) {
    const report = { buildId, machineId, ...ended, outputs: new Map() };
    await expect(intruder.client.completeBuild(report)).rejects.toThrow();
  }
  const forged = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("forged\n");
  };
  await expect(intruder.client.buildLog(drv, encodeLog(forged()))).rejects.toThrow(
    /no machine of this builder/,
  );
  // The row is written beside the order.
  await pair().tables.waitBusy(build, 1);
  const rows = await pair().tables.rows([build]);
  expect(rows.BuildSteps.map(({ busy, status }) => ({ isBusy: busy !== 0, status }))).toEqual([
    { isBusy: true, status: null },
  ]);
});
