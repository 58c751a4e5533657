/** What `npm pack` puts into the tarball: everything the documents link, and nothing that only this repository needs. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Manifest {
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
  readonly bin: Readonly<Record<string, string>>;
}

describe("the tarball", () => {
  let files: readonly string[] = [];
  let manifest: Manifest;

  beforeAll(async () => {
    const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const { stdout } = await promisify(execFile)("npm", args, { cwd: root, maxBuffer: 1 << 24 });
    const [packed] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
    files = packed.files.map(({ path }) => path);
    manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  });

  it("has the entrances and the programs", () => {
    const wanted = Object.values(manifest.exports).flatMap((entrance) => [entrance.types, entrance.default]);
    const programs = Object.values(manifest.bin).map((path) => `./${path}`);
    expect(wanted.length).toBeGreaterThan(20);
    const missing = [...wanted, ...programs].filter((path) => !files.includes(path.replace("./", "")));
    expect(missing).toEqual([]);
  });

  it("has every file that its documents link", async () => {
    const documents = files.filter((path) => path.endsWith(".md"));
    expect(documents).toContain("README.md");
    const missing: string[] = [];
    for (const document of documents) {
      // `method[name](argument)` in code looks like a link.
      const text = (await readFile(join(root, document), "utf8")).replaceAll(/^```[\s\S]*?^```$/gm, "");
      for (const [, link = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
        const target = normalize(join(dirname(document), link));
        if (!files.includes(target)) missing.push(`${document} links ${link}`);
      }
    }
    expect(missing).toEqual([]);
  });

  it("has no source map, since it has no sources", async () => {
    expect(files.filter((path) => path.endsWith(".map"))).toEqual([]);
    const entrance = await readFile(join(root, "dist/lib/index.js"), "utf8");
    expect(entrance).not.toContain("sourceMappingURL");
  });

  it("has nothing but the library, the programs, the wire contract, documents, examples and what operators install", () => {
    const expected =
      /^(?:dist\/(?:lib|bin)\/|proto\/|docs\/|examples\/|ops\/|(?:README|CHANGELOG)\.md$|LICENSE$|package\.json$)/;
    expect(files.filter((path) => !expected.test(path))).toEqual([]);
    expect(files.filter((path) => /(?:^|\/)test\/|\.test\.|tsbuildinfo|(?:^|\/)\.[^/]+$/.test(path))).toEqual(
      [],
    );
  });
});
