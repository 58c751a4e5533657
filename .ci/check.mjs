// `npm test`: every check of the project; the first failure stops the run.
// `--tests-only`: build and tests, for the run on another version of Node.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { environment, root } from "./tools.mjs";

const vitest = ["vitest", "run", "--config", "test/vitest.config.ts"];

const testsOnly = process.argv.includes("--tests-only");

/** @typedef {[name: string, command: string[]]} Step */
/** Steps run one after the other. A part of several lanes is over when all of them are, which run beside each other. */
/** @typedef {(Step | { beside: Lane[] })[]} Lane */

/** All but tests, in as many lanes as unit tests have workers: most steps keep one core busy. */
/** @type {Lane[]} */
const staticChecks = [
  [
    ["type check", ["tsc", "--noEmit", "-p", "test/tsconfig.json", "--checkers", "1"]],
    ["type check of the page", ["tsc", "-p", "lib/status/page/app/tsconfig.json"]],
    ["unused files, exports and dependencies", ["knip", "--config", ".knip.json"]],
    ["docstrings", ["node", ".ci/check-docstrings.mjs"]],
    ["words", ["node", ".ci/check-words.mjs"]],
    ["buf lint", ["buf", "lint"]],
    ["generated code is fresh", ["node", ".ci/check-generated.mjs"]],
    ["manual pages, completion and Nix options are fresh", ["node", "dist/bin/manual/main.js", "--check"]],
    ["public surface", ["node", ".ci/api-report.mjs", "--check"]],
    ["package as users get it", ["node", ".ci/check-package.mjs"]],
  ],
  [
    ["lint", ["oxlint", "--type-aware", "--deny-warnings"]],
    ["lint and format", ["biome", "ci", "--error-on-warnings", "."]],
    ["reference", ["node", ".ci/reference/docs.mjs", "--check"]],
  ],
];

/** @type {Lane} */
const checks = [
  // The type check below looks at these files, too.
  ["build", ["node", ".ci/build.mjs", ...(testsOnly ? [] : ["--no-check"])]],
  {
    beside: [
      // Integration tests wait for much; the other lane, which only computes, fills that time.
      [["integration tests", [...vitest, "--project", "integration"]]],
      [{ beside: staticChecks }, ["unit tests", [...vitest, "--project", "unit"]]],
    ],
  },
];

const say = (line) => process.stdout.write(`── ${line}\n`);
/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();

/** Output is kept until the step ends when another one runs beside it. */
async function step(name, [program, ...args], alone) {
  const started = Date.now();
  say(name);
  // A group of its own, because not every program passes signals on to what it starts.
  const child = spawn(program, args, {
    cwd: root,
    detached: true,
    // Tests would build once more before they begin.
    env: { ...environment, HYDRA_RUNNER_IS_BUILT: "1" },
    stdio: ["ignore", alone ? "inherit" : "pipe", alone ? "inherit" : "pipe"],
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  const [status] = await once(child, "close");
  running.delete(child);
  if (stopping) return;
  process.stdout.write(output);
  if (status !== 0) stop(`${name} failed`);
  else say(`${name}: ok, ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

let stopping = false;

function stop(reason) {
  stopping = true;
  say(reason);
  process.exitCode = 1;
  // Without an id the program did not start.
  for (const { pid } of running) if (pid !== undefined) process.kill(-pid, "SIGTERM");
}

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop(`ended by ${signal}`));

const isWanted = (name) => !testsOnly || name === "build" || name.endsWith("tests");

/** @param {Lane} lane */
async function run(lane, alone) {
  for (const part of lane) {
    if (!Array.isArray(part)) await Promise.all(part.beside.map((one) => run(one, false)));
    else if (!stopping && isWanted(part[0])) await step(part[0], part[1], alone);
  }
}

await run(checks, true);
