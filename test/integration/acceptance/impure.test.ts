// Impure derivations: Nix builds them each time and registers no realisation, and so do we. The Nix of the tests may be
// too old to build one, so a scripted builder stands for the machine.
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  byteStringFromText,
  byteStringToBytes,
  computeDerivationPath,
  type Derivation,
  defaultStoreDir,
  printDerivation,
} from "../../../lib/nix/index.js";
import { usePair } from "../../support/pair.js";
import { ScriptedBuilder } from "../../support/scripted-builder.js";
import { testDatabase } from "../../support/test-database.js";

const pair = usePair(async () => ({
  databaseUrl: await testDatabase(),
  builders: [],
  nixConf: "extra-experimental-features = impure-derivations",
}));

test.each([
  ["impure", 2, false],
  ["caFloating", 1, true],
] as const)("a derivation of kind %s queued twice is built %i times", async (kind, builds, published) => {
  const derivation: Derivation = {
    name: `twice-${kind}`,
    outputs: new Map([["out", { kind, method: "nixArchive", algorithm: "sha256" }]]),
    inputSources: [],
    inputDerivations: new Map(),
    system: byteStringFromText("x86_64-linux"),
    builder: byteStringFromText("/bin/sh"),
    args: [],
    env: new Map([[byteStringFromText("name"), byteStringFromText(`twice-${kind}`)]]),
  };
  const drv = computeDerivationPath(defaultStoreDir, derivation);
  // Where the runner reads it; the Nix of the tests might refuse to.
  await writeFile(
    join(pair().store.realStoreDir, drv),
    byteStringToBytes(printDerivation(defaultStoreDir, derivation)),
  );
  let made = 0;
  await using builder = await ScriptedBuilder.join({
    endpoint: pair().gatewayUrl,
    store: pair().store,
    make: () => `execution ${++made} of ${kind}`,
  });
  for (const expected of [1, builds]) {
    const ids = await pair().tables.addBuilds([
      { drv: `${defaultStoreDir}/${drv}`, jobsetId: pair().jobsetId },
    ]);
    await pair().tables.waitFinished(ids);
    const rows = await pair().tables.rows(ids);
    expect(rows.Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
    expect(builder.orders.length).toBe(expected);
  }
  const objects = await readdir(pair().cacheFolder, { recursive: true });
  expect(objects.some((name) => name.endsWith(".doi"))).toBe(published);
});
