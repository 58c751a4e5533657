// What must work for a builder whatever stands between it and the runner.
import { createReadStream, existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "vitest";
import { decompress } from "../../../lib/compression/index.js";
import { descendants, shellDerivation } from "../../support/nix.js";
import type { Pair, PairBuilderOptions } from "../../support/pair.js";
import { until } from "../../support/until.js";

/** A builder that takes only what asks for its name; see `onBuilder`. */
export function reserved(name: string, options: PairBuilderOptions = {}): PairBuilderOptions {
  const settings = { mandatoryFeatures: [name], supportedFeatures: [name], ...options.settings };
  return { ...options, name, systemFeatures: [name], settings };
}

function onBuilder(builder: string, name: string, script: string): string {
  const attributes = `requiredSystemFeatures = [ "${builder}" ];`;
  return shellDerivation(`${name}-${builder}`, script, attributes);
}

/** The text of a step's log, as the runner keeps it: compressed when it is over and long. */
export async function logOf(pair: Pair, drv: string): Promise<string> {
  const name = basename(drv);
  const path = join(pair.dataDir, "build-logs", name.slice(0, 2), name.slice(2));
  if (!existsSync(`${path}.zst`)) return readFile(path, "utf8");
  return text(decompress(createReadStream(`${path}.zst`), { method: "zstd", maxOutput: 1 << 24 }));
}

async function stepsOf(pair: Pair, id: number): Promise<unknown[]> {
  const { BuildSteps } = await pair.tables.rows([id]);
  return BuildSteps.map(({ machine, status, busy }) => ({ machine, status, busy }));
}

/** On each builder at once: a build with two outputs and a long log; ends when all is as it must be. */
export async function buildOnEach(pair: Pair, builders: readonly string[]): Promise<readonly string[]> {
  const lines = 500;
  const script = (name: string): string =>
    `i=0; while [ $i -lt ${lines} ]; do echo line $i of ${name}; i=$((i+1)); done; echo ${name} > $out; echo doc > $doc`;
  const drvs = await pair.instantiate(
    ...builders.map((name) =>
      onBuilder(name, "plain", script(name)).replace("builder =", 'outputs = [ "out" "doc" ]; builder ='),
    ),
  );
  const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
  await pair.tables.waitFinished(ids);
  const outputs: string[] = [];
  for (const [index, machine] of builders.entries()) {
    const id = ids[index] ?? 0;
    const rows = await pair.tables.rows([id]);
    expect(rows.Builds).toMatchObject([{ buildstatus: 0, iscachedbuild: 0 }]);
    expect(await stepsOf(pair, id)).toEqual([{ machine, status: 0, busy: 0 }]);
    const expected = Array.from({ length: lines }, (_, line) => `line ${line} of ${machine}\n`).join("");
    expect(await logOf(pair, drvs[index] ?? "")).toBe(expected);
    outputs.push(...rows.BuildOutputs.map(({ path }) => String(path)));
  }
  expect(outputs).toHaveLength(2 * builders.length);
  return outputs;
}

/** A build runs on each builder, is cancelled, and ends there too. */
export async function cancelOnEach(pair: Pair, builders: readonly string[]): Promise<void> {
  const drvs = await pair.instantiate(
    ...builders.map((name) =>
      onBuilder(name, "cancelled", "echo started; /bin/busybox sleep 301; echo > $out"),
    ),
  );
  const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
  await Promise.all(ids.map((id) => pair.tables.waitBusy(id)));
  const sleeping = async (name: string): Promise<boolean> => {
    const { daemonPid } = pair.builderNamed(name).store;
    for (const pid of await descendants(daemonPid ?? 0)) {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      if (command.includes("sleep\x00301")) return true;
    }
    return false;
  };
  for (const name of builders) await until(`the build on ${name}`, () => sleeping(name));
  await pair.tables.cancel(ids);
  await until("no step to be busy", async () => (await pair.tables.busySteps()).length === 0);
  for (const [index, machine] of builders.entries()) {
    expect(await stepsOf(pair, ids[index] ?? 0)).toEqual([{ machine, status: 4, busy: 0 }]);
    await until(`the build to end on ${machine}`, async () => !(await sleeping(machine)));
  }
}

/** A build runs on each builder, all connections break, and the build goes on where it was. */
export async function resumeOnEach(
  pair: Pair,
  builders: readonly string[],
  cut: () => Promise<void> | void,
): Promise<void> {
  const script = "echo before; /bin/busybox sleep 3; echo after; echo > $out";
  const drvs = await pair.instantiate(...builders.map((name) => onBuilder(name, "resumed", script)));
  const ids = await pair.tables.addBuilds(drvs.map((drv) => ({ drv, jobsetId: pair.jobsetId })));
  for (const id of ids) await pair.tables.waitBusy(id);
  await cut();
  await pair.tables.waitFinished(ids);
  for (const [index, machine] of builders.entries()) {
    expect(await stepsOf(pair, ids[index] ?? 0)).toEqual([{ machine, status: 0, busy: 0 }]);
    expect(await logOf(pair, drvs[index] ?? "")).toBe("before\nafter\n");
  }
}
