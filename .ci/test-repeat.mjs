// `npm run test:repeat -- N [--busy] FILE…`: runs test files N times, to see whether they are steady; the first failure
// ends it. `--busy` keeps every core busy with something else meanwhile.
import { spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { environment, root } from "./tools.mjs";

const args = process.argv.slice(2);
const busy = args.includes("--busy");
const [times, ...files] = args.filter((arg) => arg !== "--busy");
if (!/^[1-9]\d*$/.test(times ?? "") || files.length === 0) {
  process.stderr.write("usage: npm run test:repeat -- <times> [--busy] <file>…\n");
  process.exit(2);
}

function run(command, commandArgs, env) {
  return spawnSync(command, commandArgs, { cwd: root, env, stdio: "inherit" }).status ?? 1;
}

const others = Array.from({ length: busy ? availableParallelism() : 0 }, () =>
  spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
);
let status = run(process.execPath, [".ci/build.mjs"], environment);
let passed = 0;
try {
  const env = { ...environment, HYDRA_RUNNER_IS_BUILT: "1" };
  while (status === 0 && passed < Number(times)) {
    status = run("vitest", ["run", "--config", "test/vitest.config.ts", ...files], env);
    if (status === 0) passed++;
  }
} finally {
  for (const other of others) other.kill("SIGKILL");
}
process.stdout.write(`passed ${passed} of ${times} times${busy ? " beside busy cores" : ""}\n`);
process.exit(status);
