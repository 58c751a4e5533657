// What users get: packs the built package, checks it with publint and attw, and compiles `test/consumer` against the
// unpacked tarball with `skipLibCheck: false`, once resolving as Node does and once as bundlers do.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "check-package-"));

class Failed extends Error {}

/** Dependencies whose own declarations do not compile: drizzle-orm's mention databases that are not installed. */
const unsound = ["drizzle-orm"];

/** Output is shown only where the command fails. */
function run(command, args, cwd = root) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Failed(`${command} ${args.join(" ")}\n${stdout}${stderr}`);
}

/** The consumer has what npm would install for it: the package, its dependencies, and the types of Node. */
function install(tarball, consumer) {
  const modules = join(consumer, "node_modules");
  const unpacked = join(modules, "hydra-runner");
  mkdirSync(unpacked, { recursive: true });
  run("tar", ["-xzf", tarball, "-C", unpacked, "--strip-components=1"]);
  const { dependencies } = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8"));
  for (const name of [...Object.keys(dependencies), "@types/node"]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
}

/** Errors of a compilation, with the lines that explain them, except those inside unsound dependencies. */
function compile(project) {
  const args = ["tsc", "-p", project, "--pretty", "false"];
  const { status, stdout } = spawnSync("npx", args, { cwd: root, encoding: "utf8" });
  const errors = stdout.split(/\n(?=\S)/).filter((error) => error.trim() !== "");
  if (status !== 0 && errors.length === 0) throw new Failed(`npx ${args.join(" ")} ended with ${status}`);
  const inside = (error) => unsound.some((name) => error.split("(")[0].includes(`node_modules/${name}/`));
  const ours = errors.filter((error) => !inside(error));
  if (ours.length > 0) throw new Failed(ours.join("\n"));
}

let problem;
try {
  run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder]);
  const [name] = readdirSync(folder);
  const tarball = join(folder, name);
  run("npx", ["publint", "run", tarball, "--strict"]);
  run("npx", ["attw", tarball, "--profile", "esm-only"]);
  const consumer = join(folder, "consumer");
  cpSync(join(root, "test/consumer"), consumer, { recursive: true });
  install(tarball, consumer);
  for (const mode of ["nodenext", "bundler"]) compile(join(consumer, `tsconfig.${mode}.json`));
} catch (error) {
  if (!(error instanceof Failed)) throw error;
  problem = error.message;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (problem !== undefined) {
  process.stderr.write(`package: ${problem}\n`);
  process.exit(1);
}
