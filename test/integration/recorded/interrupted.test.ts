// The recorded cases in which somebody steps in: a cancel, a builder that is killed, a runner that is killed.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { expression, recordedCase } from "./cases.js";
import { adapted } from "./differences.js";
import { type NormalForm, normalForm } from "./normal-form.js";

const pair = usePair(async () => ({ databaseUrl: await testDatabase() }));

/** The expressions were not recorded, only the names; so the hashes are left out of the comparison. */
const form = { withoutHashes: true };

async function queue(name: string, job: string, seconds: number): Promise<number[]> {
  const [drv = ""] = await pair().instantiate(
    expression(`sh "echo begun; $B sleep ${seconds}; echo > $out" { name = "${name}"; }`),
  );
  return pair().tables.addBuilds([{ drv, job, jobsetId: pair().jobsetId }]);
}

async function outcome(builds: readonly number[]): Promise<NormalForm> {
  await pair().notifications.settle();
  return normalForm(
    { builds, rows: await pair().tables.rows(builds), notifications: pair().notifications.of(builds) },
    form,
  );
}

function recorded(name: string): NormalForm {
  const { builds, rows, notifications } = recordedCase(name);
  const heard = notifications.map(([, channel, payload]) => ({ channel, payload }));
  return adapted(name, normalForm({ builds, rows, notifications: heard }, form));
}

describe.sequential("recorded cases with an interruption", () => {
  test("cancel", async () => {
    const builds = await queue("cancelme", "cancel", 30);
    await pair().tables.waitBusy(builds[0] ?? 0);
    await pair().tables.cancel(builds);
    await pair().tables.waitNoneBusy();
    expect(await outcome(builds)).toEqual(recorded("cancel"));
  });

  test("builder-lost", async () => {
    const builds = await queue("lostbuilder", "lost", 2);
    await pair().tables.waitBusy(builds[0] ?? 0);
    await pair().builder().process.kill();
    await pair().tables.waitNoneBusy();
    await sleep(500);
    pair().startBuilder();
    await pair().tables.waitFinished(builds);
    expect(await outcome(builds)).toEqual(recorded("builder-lost"));
  });

  test("runner-killed", async () => {
    const builds = await queue("runnerlost", "runnerlost", 2);
    await pair().tables.waitBusy(builds[0] ?? 0);
    await pair().runner.kill();
    await pair().startRunner();
    await pair().tables.waitFinished(builds);
    expect(await outcome(builds)).toEqual(recorded("runner-killed"));
  });
});
