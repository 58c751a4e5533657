// Bundles the live page's application into `dist/lib/status/page/assets`: files named after their content, each also
// compressed, and `manifest.json`, which says which of them the document loads.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const app = "lib/status/page/app";

/** Writes the files. `root` is the folder of the repository. */
export async function bundlePage(root) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`${app}/main.tsx`, `${app}/style/main.css`],
    tsconfig: `${app}/tsconfig.json`,
    outdir: "assets",
    entryNames: "page-[hash]",
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: ["es2022"],
    charset: "utf8",
    legalComments: "none",
    banner: {
      js: `/*! preact:\n${readFileSync(join(root, "node_modules/preact/LICENSE"), "utf8").trim()}\n*/`,
    },
    logLevel: "warning",
    write: false,
    metafile: true,
  });
  const folder = join(root, "dist/lib/status/page/assets");
  mkdirSync(folder, { recursive: true });
  for (const { path, contents } of outputFiles) {
    const target = join(folder, basename(path));
    writeFileSync(target, contents);
    writeFileSync(`${target}.gz`, gzipSync(contents, { level: 9 }));
    writeFileSync(
      `${target}.br`,
      brotliCompressSync(contents, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
    );
  }
  const names = Object.keys(metafile.outputs).map((path) => basename(path));
  const manifest = {
    script: names.find((name) => name.endsWith(".js")),
    style: names.find((name) => name.endsWith(".css")),
  };
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const current = names.flatMap((name) => [name, `${name}.gz`, `${name}.br`]);
  for (const name of readdirSync(folder)) {
    if (name !== "manifest.json" && !current.includes(name)) rmSync(join(folder, name));
  }
}
