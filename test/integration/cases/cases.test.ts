// Cases made after public bug reports, each with the database and the cache it must lead to, on farms of one builder.
import { describe, test } from "vitest";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { nixLacks, runCase } from "./case.js";

describe("with default settings", () => {
  const pair = usePair(async () => ({ databaseUrl: await testDatabase() }));

  test.each([
    "02-dead-download-final-status",
    "01-dead-downloads-hold-machines",
    "04-one-bad-byte",
    "05-output-is-a-file",
    "06-product-lines",
    "07-odd-file-names",
    "08-odd-rows",
    "10-machine-has-the-output",
    "11-derivation-features",
  ])("%s", (name) => runCase(pair(), name));
});

describe("with outputs addressed by git hashes", () => {
  // Nix 2.24 and newer; older ones do not know the feature and say so in a warning.
  const nixConf = "extra-experimental-features = git-hashing";
  const pair = usePair(async () => ({ databaseUrl: await testDatabase(), nixConf, builders: [{ nixConf }] }));

  test("03-git-hashes", async ({ skip }) => {
    // Nix 2.8 does not know such outputs; 2.26.3 evaluates them, and fails with an error of its own when it builds them.
    const probe = shellDerivation(
      "probe",
      "printf probe > $out",
      '__contentAddressed = true; outputHashMode = "git"; outputHashAlgo = "sha1";',
    );
    const lacks = await nixLacks(pair(), probe);
    if (lacks !== undefined) skip(`this Nix cannot build outputs addressed by git hashes: ${lacks}`);
    await runCase(pair(), "03-git-hashes");
  });
});

describe("with substituters that do not answer", () => {
  const pair = usePair(async () => ({
    databaseUrl: await testDatabase(),
    runner: { useSubstitutes: true },
    builders: [
      {
        settings: { useSubstitutes: true },
        nixConf: "substituters = http://127.0.0.1:9/ http://127.0.0.1:9/second",
      },
    ],
  }));

  test("09-substituters-down", () => runCase(pair(), "09-substituters-down"));
});
