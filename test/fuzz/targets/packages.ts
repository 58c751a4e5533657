/** What packages write below `nix-support`, read from real files. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultStoreDir, parseStorePath } from "../../../lib/nix/index.js";
import { readNixSupport } from "../../../lib/nix-support/index.js";
import { assert, type FuzzTarget } from "../target.js";

const output = parseStorePath("7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a");
const bytes = (value: string): Uint8Array => Buffer.from(value, "utf8");

interface OpenPackageTargets extends AsyncDisposable {
  readonly targets: readonly FuzzTarget[];
}

function fileTarget(folder: string, name: string, seeds: readonly string[]): FuzzTarget {
  const path = join(folder, output, "nix-support", name);
  return {
    name,
    seeds: seeds.map(bytes),
    async run(input) {
      await writeFile(path, input);
      try {
        const read = await readNixSupport({ storeDir: defaultStoreDir, realStoreDir: folder }, "out", output);
        for (const product of read.products) {
          assert(product.name.length <= 255, "a product with an impossible name");
          assert(!product.subPath.split("/").includes(".."), "a product outside of its path");
        }
        for (const metric of read.metrics) assert(/^[A-Za-z0-9._-]+$/.test(metric.name), "a metric's name");
      } finally {
        await rm(path, { force: true });
      }
    },
  };
}

/** Readers of packages in a store folder of their own. */
export async function packageTargets(): Promise<OpenPackageTargets> {
  const folder = await mkdtemp(join(tmpdir(), "fuzz-packages-"));
  await mkdir(join(folder, output, "nix-support"), { recursive: true });
  await writeFile(join(folder, output, "file"), "contents");
  return {
    targets: [
      fileTarget(folder, "hydra-build-products", [
        `file binary-dist "/nix/store/${output}/file" file\nreport coverage /nix/store/${output}\n`,
        `doc manual /nix/store/${output} share/doc/index.html\r\n`,
      ]),
      fileTarget(folder, "hydra-metrics", ["size 12345 KiB\nspeed 1e5\nratio .5 %\nx inf\ny nan s\n"]),
      fileTarget(folder, "hydra-release-name", ["nixos-26.11pre12345.abcdef\n"]),
    ],
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
