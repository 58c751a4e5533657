// `npm test`: every check of the project, one after the other; the first failure stops the run.
// `--tests-only`: build and tests, for the run on another version of Node.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = ["npx", "vitest", "run", "--config", "test/vitest.config.ts"];
/** @type {[string, string[]][]} */
const steps = [
  ["build", ["npx", "tsc", "-p", "tsconfig.json"]],
  ["type check", ["npx", "tsc", "--noEmit", "-p", "test/tsconfig.json"]],
  ["lint", ["npx", "oxlint", "--type-aware", "--deny-warnings"]],
  ["lint and format", ["npx", "biome", "ci", "--error-on-warnings", "."]],
  ["unused files, exports and dependencies", ["npx", "knip", "--config", ".knip.json"]],
  ["docstrings", ["node", ".ci/check-docstrings.mjs"]],
  ["words", ["node", ".ci/check-words.mjs"]],
  ["buf lint", ["npx", "buf", "lint"]],
  ["generated code is fresh", ["node", ".ci/check-generated.mjs"]],
  ["public surface", ["node", ".ci/api-report.mjs", "--check"]],
  ["package as users get it", ["node", ".ci/check-package.mjs"]],
  ["unit tests", [...vitest, "--project", "unit"]],
  ["integration tests", [...vitest, "--project", "integration"]],
];

const testsOnly = process.argv.includes("--tests-only");
for (const [name, [command, ...args]] of steps) {
  if (testsOnly && name !== "build" && !name.endsWith("tests")) continue;
  const started = Date.now();
  process.stdout.write(`── ${name}\n`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    process.stdout.write(`── ${name} failed\n`);
    process.exit(1);
  }
  process.stdout.write(`── ${name}: ok, ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}
