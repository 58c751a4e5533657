/** The order of test files: those that take longest begin first, so that none of them is left alone at the end. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** By measured time; the others follow as Vitest orders them. */
const longest = [
  "integration/runner-invariants.test.ts",
  "integration/hydra-suite/queue-runner.test.ts",
  "security/packages.test.ts",
  "integration/failover.test.ts",
  "integration/cases/cases.test.ts",
  "integration/examples.test.ts",
  "integration/frozen-daemon.test.ts",
  "integration/staged-s3.test.ts",
  "integration/many-small.test.ts",
  "security/intruders.test.ts",
  "integration/silence.test.ts",
  "integration/presigned-trouble.test.ts",
  "integration/builder.test.ts",
  "integration/database-frozen.test.ts",
  "security/bounds-runner.test.ts",
  "integration/bad-config.test.ts",
  "integration/builder-killed.test.ts",
  "integration/acceptance/front-end.test.ts",
  "integration/no-descriptors.test.ts",
  "integration/database-embedded.test.ts",
  "integration/fairness.test.ts",
  "page/browser.test.ts",
  "fuzz/fuzz.test.ts",
  "compression/zstd-decoder.test.ts",
  "compression/compression.test.ts",
  "compression/bombs.test.ts",
];

function rank({ moduleId }: TestSpecification): number {
  const place = longest.findIndex((name) => moduleId.endsWith(`/test/${name}`));
  return place === -1 ? longest.length : place;
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}
