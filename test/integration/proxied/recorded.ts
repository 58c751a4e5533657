// The recorded builder against a real runner: what it was recorded with leads to the rows that were recorded.
import { expect } from "vitest";
import type { Pair } from "../../support/pair.js";
import { RecordedBuilder, type RecordedBuilderOptions } from "../../support/recorded-builder.js";
import { until } from "../../support/until.js";
import { expression, recordedCase } from "../recorded/cases.js";
import { logOf } from "./checks.js";

export interface RecordedPeer extends Omit<RecordedBuilderOptions, "endpoint"> {
  /** Name of a gateway; undefined: directly. */
  readonly gateway: string | undefined;
}

export async function joinRecorded(
  pair: Pair,
  { gateway, ...options }: RecordedPeer,
  recording?: Parameters<typeof RecordedBuilder.join>[1],
): Promise<RecordedBuilder> {
  const endpoint = gateway === undefined ? pair.gatewayUrl : pair.urlThrough(gateway);
  return RecordedBuilder.join({ ...options, endpoint }, recording);
}

/** A recorded case of one derivation, built by the recorded builder: rows and log are those of the recording. */
export async function buildRecorded(
  pair: Pair,
  peer: RecordedPeer,
  name: string,
  drvName: string,
): Promise<void> {
  const recorded = recordedCase(name);
  const [drv = ""] = await pair.instantiate(...(recorded.expressions ?? []).map(expression));
  expect(drv).toBe(recorded.drvs?.[0]);
  await using builder = await joinRecorded(pair, peer);
  const [id = 0] = await pair.tables.addBuilds([{ drv, jobsetId: pair.jobsetId }]);
  await builder.build(drvName);
  await pair.tables.waitFinished([id]);
  const rows = await pair.tables.rows([id]);
  const picked = ({ Builds, BuildSteps, BuildOutputs, BuildProducts, BuildMetrics }: typeof rows) => ({
    builds: Builds.map(({ buildstatus, iscachedbuild, releasename, size, closuresize }) => ({
      ...{ buildstatus, iscachedbuild, releasename, size, closuresize },
    })),
    steps: BuildSteps.map(({ stepnr, type, status, machine, system }) => ({
      ...{ stepnr, type, status, machine, system },
    })),
    outputs: BuildOutputs.map(({ name: output, path }) => ({ output, path })),
    products: BuildProducts.map(({ productnr, type, subtype, path, sha256hash, filesize }) => ({
      ...{ productnr, type, subtype, path, sha256hash, filesize },
    })),
    metrics: BuildMetrics.map(({ name: metric, value, unit }) => ({ metric, value, unit })),
  });
  expect(picked(rows)).toEqual(picked(recorded.rows));
  expect(builder.isConnected).toBe(true);
  if (name === "success") expect(await logOf(pair, drv)).toBe("building\n");
}

/** The recorded builder is told to abort a build that was cancelled. */
export async function cancelRecorded(pair: Pair, peer: RecordedPeer): Promise<void> {
  const [drv = ""] = await pair.instantiate(
    expression('sh "echo run; $B sleep 20; echo > $out" { name = "cancelme"; }'),
  );
  expect(drv).toBe(recordedCase("cancel").rows.Builds[0]?.drvpath);
  await using builder = await joinRecorded(pair, peer);
  const [id = 0] = await pair.tables.addBuilds([{ drv, jobsetId: pair.jobsetId }]);
  const working = builder.buildUntilAborted("cancelme.drv");
  await pair.tables.waitBusy(id);
  await until("the log", async () => (await logOf(pair, drv).catch(() => "")) === "run\n");
  await pair.tables.cancel([id]);
  await working;
  await until("no step to be busy", async () => (await pair.tables.busySteps()).length === 0);
  const { BuildSteps } = await pair.tables.rows([id]);
  expect(BuildSteps).toMatchObject([{ status: 4, machine: "vm" }]);
}
