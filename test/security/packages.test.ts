/**
 * Packages that write hostile files, built by the real programs with real Nix daemons: neither program is kept from its
 * work, the build beside is not lost, and what does not count is named in the log of the step and of the runner.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { expectBounded, probed } from "./probe.js";

let folder = "";
// Before the pair is made: what is registered last runs first, and the programs write there to their end.
afterAll(() => rm(folder, { recursive: true, force: true }));
const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "packages-"));
  return {
    databaseUrl: await testDatabase(),
    builders: [{}],
    runner: { maxRetries: 1 },
    runnerEnv: probed(join(folder, "runner")),
    builderEnv: probed(join(folder, "builder")),
  };
});

const bounded = (attack: () => Promise<unknown>): Promise<void> =>
  expectBounded(join(folder, "runner"), () => expectBounded(join(folder, "builder"), attack));

async function logOf(drv: string): Promise<string> {
  const name = basename(drv);
  const path = join(pair().dataDir, "build-logs", name.slice(0, 2), name.slice(2));
  const raw = await readFile(path).catch(() => undefined);
  return (raw ?? (await pair().store.run("zstd", ["-dcq", `${path}.zst`]))).toString();
}

interface Attack {
  /** What the build writes; `$s` is its `nix-support` folder. */
  readonly script: string;
  /** What the log of the step says. */
  readonly said?: RegExp;
  readonly products?: number;
  readonly metrics?: number;
}

const awk = (program: string): string => `/bin/busybox awk 'BEGIN { ${program} }'`;
const filled = (count: number, letter: string): string =>
  `/bin/busybox head -c ${count} /dev/zero | /bin/busybox tr '\\0' '${letter}'`;
/** The largest file that is read. */
const largest = 4 * 2 ** 20;

const attacks: Readonly<Record<string, Attack>> = {
  "a number of 200,000 digits": {
    script: `{ printf 'm '; ${filled(200_000, "1")}; echo x; echo good 1; } > $s/hydra-metrics`,
    said: /ignored nix-support\/hydra-metrics, line 1: the value is not a number/,
    products: 1,
    metrics: 1,
  },
  "10,000 lines that name one file of 8 MiB": {
    script: `/bin/busybox dd if=/dev/zero of=$out/big bs=1M count=8
      export out; ${awk('while (n++ < 10001) print "file x " ENVIRON["out"] "/big"')} > $s/hydra-build-products`,
    said: /ignored nix-support\/hydra-build-products, line 10001: more than 10000 products/,
    products: 10_000,
  },
  "1,800 nested folders": {
    // As deep as a path may be long.
    script: `cd $out; n=0; while [ $n -lt 1800 ]; do /bin/busybox mkdir a; cd a; n=$((n + 1)); done; echo deep > f`,
    products: 1,
  },
  "bytes that are not UTF-8": {
    script: `echo > $out/a; printf "file caf\\351 $out/a\\nfile x $out/a\\n" > $s/hydra-build-products
      printf 'm\\351 1\\ngood 1\\n' > $s/hydra-metrics`,
    said: /ignored nix-support\/hydra-metrics, line 1: not UTF-8 text\n.*ignored nix-support\/hydra-build-products, line 1: not UTF-8 text/,
    products: 1,
    metrics: 1,
  },
  "a number of 4 MiB": {
    script: `{ printf 'm '; ${filled(largest - 100, "1")}; echo x; } > $s/hydra-metrics`,
    said: /ignored nix-support\/hydra-metrics, line 1: the value is not a number/,
    metrics: 0,
  },
  "4 MiB of blanks between words": {
    script: `{ printf 'file'; ${filled(largest - 100, " ")}; echo '<'; } > $s/hydra-build-products`,
    said: /ignored nix-support\/hydra-build-products, line 1: /,
    products: 0,
  },
  "2 million lines that do not count": {
    script: `/bin/busybox yes | /bin/busybox head -c ${largest} > $s/hydra-metrics`,
    said: /ignored nix-support\/hydra-metrics: \d+ more lines were left out/,
    metrics: 0,
  },
  "10,000 products through a chain of 39 links each": {
    script: `cd $out; echo > l0; n=0; while [ $n -lt 39 ]; do /bin/busybox ln -s l$n l$((n + 1)); n=$((n + 1)); done
      export out; ${awk('while (n++ < 10000) print "file x " ENVIRON["out"] "/./" n "/../l39"')} > $s/hydra-build-products`,
  },
};

test.each(Object.entries(attacks))("%s", async (name, { script, said, products, metrics }) => {
  const word = name.replaceAll(/[^a-z0-9]+/gi, "-");
  const whole = `s=$out/nix-support; /bin/busybox mkdir -p $s; echo the text of the build; ${script}`;
  const [other = "", drv = "", known = ""] = await pair().instantiate(
    shellDerivation(`beside-${word}`, "/bin/busybox sleep 6; echo > $out"),
    shellDerivation(`package-${word}`, whole),
    shellDerivation(`known-${word}`, whole),
  );
  const jobsetId = pair().jobsetId;
  const [beside = 0, first = 0] = await pair().tables.addBuilds([
    { drv: other, jobsetId },
    { drv, jobsetId },
  ]);
  await bounded(() => pair().tables.waitFinished([beside, first]));
  const rows = await pair().tables.rows([beside, first]);
  expect(rows.Builds.map(({ buildstatus }) => buildstatus)).toEqual([0, 0]);
  expect(rows.BuildSteps.map(({ status }) => status)).toEqual([0, 0]);
  const log = await logOf(drv);
  expect(log).toMatch(/^the text of the build\n/);
  if (said !== undefined) expect(log).toMatch(said);
  // An output that is in the runner's store already: the runner reads it itself.
  await pair().store.run("nix-store", ["--realise", known]);
  const [again = 0] = await pair().tables.addBuilds([{ drv: known, jobsetId }]);
  await bounded(() => pair().tables.waitFinished([again]));
  for (const id of [first, again]) {
    const { BuildProducts, BuildMetrics, Builds } = await pair().tables.rows([id]);
    expect(Builds[0]?.buildstatus).toBe(0);
    if (products !== undefined) expect(BuildProducts).toHaveLength(products);
    if (metrics !== undefined) expect(BuildMetrics).toHaveLength(metrics);
  }
  if (said !== undefined) {
    const output = pair().runner.output();
    expect(output).toMatch(new RegExp(`ignored, see the end of the step's log .*-package-${word}\\.drv`));
    expect(output).toMatch(new RegExp(`lines in nix-support were ignored .*-known-${word} `));
  }
});
