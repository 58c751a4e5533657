// Every case that was recorded from the Rust pair, run with ours: the same rows and the same notifications.
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { derivationFacts } from "../../support/hydra-tables.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { expression, type RecordedCase, recordedCases } from "./cases.js";
import { adapted, differences } from "./differences.js";
import { type NormalFormOptions, normalForm } from "./normal-form.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  // As the recordings were made.
  runner: { maxUnsupportedTimeInS: 3 },
}));

const forms: Readonly<Record<string, NormalFormOptions>> = {
  "same-derivation-twice": { orderByCached: true },
};

const runnable = recordedCases.filter((one) => one.expressions !== undefined);

async function queue(recorded: RecordedCase): Promise<number[]> {
  const drvs = await pair().instantiate(...(recorded.expressions ?? []).map(expression));
  // The same derivations as recorded, or the rows could not be compared at all.
  expect(drvs).toEqual(recorded.drvs);
  return pair().tables.addBuilds(
    drvs.map((drv, index) => {
      const row = recorded.rows.Builds[index];
      return {
        drv,
        job: `${recorded.case}-${index}`,
        jobsetId: pair().jobsetId,
        maxSilent: Number(row?.maxsilent),
        timeout: Number(row?.timeout),
      };
    }),
  );
}

// In the recorded order: some cases find what earlier ones left behind.
describe.sequential("recorded cases", () => {
  for (const recorded of runnable) {
    test(`${recorded.case}: ${recorded.what}`, async () => {
      const builds = await queue(recorded);
      await pair().tables.waitFinished(builds);
      await pair().notifications.settle();
      const form = forms[recorded.case] ?? {};
      const ours = normalForm(
        { builds, rows: await pair().tables.rows(builds), notifications: pair().notifications.of(builds) },
        form,
      );
      const theirs = normalForm(
        {
          builds: recorded.builds,
          rows: recorded.rows,
          notifications: recorded.notifications.map(([, channel, payload]) => ({ channel, payload })),
        },
        form,
      );
      expect(ours).toEqual(adapted(recorded.case, theirs));
    });
  }

  test("every difference belongs to cases that exist, and is documented", async () => {
    const names = new Set(recordedCases.map((one) => one.case));
    const document = await readFile(new URL("../../../docs/differences.md", import.meta.url), "utf8");
    for (const { name, cases } of differences) {
      expect(cases.filter((one) => !names.has(one))).toEqual([]);
      expect(document).toContain(`| ${name} |`);
    }
  });

  test("facts the evaluator writes are those of the recorded derivations", async () => {
    const facts = await derivationFacts(pair().store, recordedCases[2]?.drvs?.[0] ?? "");
    expect([...facts.outputs.keys()]).toEqual(["doc", "lib", "out"]);
    expect(facts.system).toBe("x86_64-linux");
  });
});
