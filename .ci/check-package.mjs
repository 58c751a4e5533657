// What users get: packs the built package, checks it with publint and attw, and compiles `test/consumer` against the
// unpacked tarball with `skipLibCheck: false`, once resolving as Node does and once as bundlers do.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { checkInFolder, environment, Failed, root } from "./tools.mjs";

/** How the command ended, and what it printed. */
function outcome(command, args) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd: root, env: environment, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== "number") reject(error);
      else resolve({ status: error?.code ?? 0, stdout, stderr });
    });
  });
}

/** Output is shown only where the command fails. */
async function run(command, args) {
  const { status, stdout, stderr } = await outcome(command, args);
  if (status !== 0) throw new Failed(`${command} ${args.join(" ")}\n${stdout}${stderr}`);
}

/** The consumer has what npm would install for it: the package, its dependencies, and the types of Node. */
async function install(tarball, consumer) {
  const modules = join(consumer, "node_modules");
  const unpacked = join(modules, "hydra-runner");
  mkdirSync(unpacked, { recursive: true });
  await run("tar", ["-xzf", tarball, "-C", unpacked, "--strip-components=1"]);
  const { dependencies } = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8"));
  for (const name of [...Object.keys(dependencies), "@types/node"]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
}

/** Errors of a compilation, with the lines that explain them, except those inside `unsound` dependencies. */
async function compile(project, unsound) {
  // Several checkers would each look through the same declarations of dependencies.
  const args = ["-p", project, "--pretty", "false", "--checkers", "1"];
  const { status, stdout } = await outcome("tsc", args);
  const errors = stdout.split(/\n(?=\S)/).filter((error) => error.trim() !== "");
  if (status !== 0 && errors.length === 0) throw new Failed(`tsc ${args.join(" ")} ended with ${status}`);
  const inside = (error) => unsound.some((name) => error.split("(")[0].includes(`node_modules/${name}/`));
  const ours = errors.filter((error) => !inside(error));
  if (ours.length > 0) throw new Failed(ours.join("\n"));
}

await checkInFolder("package", async (folder) => {
  await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder]);
  const [name] = readdirSync(folder);
  const tarball = join(folder, name);
  const consumer = join(folder, "consumer");
  cpSync(join(root, "test/consumer"), consumer, { recursive: true });
  await install(tarball, consumer);
  await Promise.all([
    run("publint", ["run", tarball, "--strict"]),
    run("attw", [tarball, "--profile", "esm-only"]),
    ...["nodenext", "bundler"].map((mode) => compile(join(consumer, `tsconfig.${mode}.json`), [])),
    // Declarations of drizzle-orm mention databases that are not installed; its entrance is the only one that shows them.
    compile(join(consumer, "tsconfig.drizzle.json"), ["drizzle-orm"]),
  ]);
});
