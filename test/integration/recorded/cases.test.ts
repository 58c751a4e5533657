// Every case that was recorded from the Rust pair, run with ours: the same rows and the same notifications.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type NarInfo, parseNarInfo } from "../../../lib/nix/cache/nar-info.js";
import { parseRealisation, realisationObject } from "../../../lib/nix/cache/realisation.js";
import { PublicKey, verifySignature } from "../../../lib/nix/cache/signer.js";
import { parseListing } from "../../../lib/nix/nar/listing-parser.js";
import { hashBytes, printHash } from "../../../lib/nix/path/hash.js";
import { defaultStoreDir } from "../../../lib/nix/path/store-path.js";
import { derivationFacts } from "../../support/hydra-tables.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import {
  recordedCacheInfo,
  recordedListing,
  recordedLogs,
  recordedNarInfos,
  recordedPublicKey,
} from "./cache.js";
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

// All derivations are those of the recording, so what our pair put into its cache can be compared with what was
// recorded there. Names of NARs and sizes of compressed files may differ, what is in them may not.
describe("objects of the cache", () => {
  const produced = recordedNarInfos.filter(({ path }) => !/-(lostbuilder|runnerlost)$/.test(path));
  const read = (key: string): Promise<string> => readFile(join(pair().cacheFolder, key), "utf8");

  test("nix-cache-info", async () => {
    expect(await read("nix-cache-info")).toBe(recordedCacheInfo);
  });

  test.each(produced.map((info) => [info.path as string, info] as const))("%s", async (path, theirs) => {
    const text = await until("the narinfo", () =>
      read(`${path.slice(0, 32)}.narinfo`).catch(() => undefined),
    );
    const ours = parseNarInfo(defaultStoreDir, text);
    const same = (info: NarInfo) => ({
      path: info.path,
      narHash: printHash(info.narHash, "nix32"),
      narSize: info.narSize,
      references: info.references,
      deriver: info.deriver,
      compression: info.compression,
      ca: info.ca,
    });
    expect(same(ours)).toEqual(same(theirs));
    // Both signatures are over the same text: each is good for the other's narinfo.
    const keys = { ours: PublicKey.parse(pair().publicKey), theirs: PublicKey.parse(recordedPublicKey) };
    expect(ours.signatures).toHaveLength(1);
    expect(verifySignature(defaultStoreDir, { ...theirs, signatures: ours.signatures }, [keys.ours])).toBe(
      true,
    );
    expect(verifySignature(defaultStoreDir, { ...ours, signatures: theirs.signatures }, [keys.theirs])).toBe(
      true,
    );
    // The stored file is what the narinfo says of it.
    const file = await readFile(join(pair().cacheFolder, ours.url));
    expect(file).toHaveLength(ours.fileSize ?? -1);
    expect(printHash(hashBytes("sha256", file), "nix32")).toBe(
      printHash(ours.fileHash ?? theirs.narHash, "nix32"),
    );
    expect(parseListing(await read(`${path.slice(0, 32)}.ls`))).toEqual(recordedListing(theirs));
  });

  test("logs", async () => {
    const names = new Set(
      runnable
        .filter(({ rows }) => rows.Builds.every(({ buildstatus }) => buildstatus === 0))
        .flatMap(({ drvs }) => drvs ?? []),
    );
    const logs = [...(await recordedLogs())].filter(([drv]) => names.has(`/nix/store/${drv}`));
    expect(logs.length).toBeGreaterThan(5);
    for (const [drv, log] of logs) {
      expect(await until(`the log of ${drv}`, () => read(`log/${drv}`).catch(() => undefined)), drv).toBe(
        log,
      );
    }
  });

  test("realisations of the outputs that only builds could tell", async () => {
    const floating = produced.filter(
      ({ ca, deriver }) => ca?.method === "nixArchive" && deriver !== undefined,
    );
    expect(floating.length).toBeGreaterThan(1);
    for (const { path, deriver } of floating) {
      if (deriver === undefined) continue;
      const key = { drvPath: deriver, outputName: "out" };
      const object = realisationObject(key);
      const text = await until(object, () => read(object).catch(() => undefined));
      const { signatures, ...realisation } = parseRealisation(text);
      expect(realisation).toEqual({ ...key, outPath: path });
      expect(signatures).toHaveLength(1);
    }
  });
});
