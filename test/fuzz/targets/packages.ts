/** What packages write below `nix-support`, read from real files. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultStoreDir, parseStorePath } from "../../../lib/nix/index.js";
import { readNixSupport } from "../../../lib/nix-support/index.js";
import { assert, type FuzzTarget } from "../target.js";

const output = parseStorePath("7w5rr17m3cbrcgx2ljqd6s0l9hzhlg1q-a");
const folder = mkdtempSync(join(tmpdir(), "fuzz-packages-"));
const support = join(folder, output, "nix-support");
mkdirSync(support, { recursive: true });
writeFileSync(join(folder, output, "file"), "contents");
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

const bytes = (value: string): Uint8Array => Buffer.from(value, "utf8");

function fileTarget(name: string, weight: number, seeds: readonly string[]): FuzzTarget {
  const path = join(support, name);
  return {
    name,
    seeds: seeds.map(bytes),
    weight,
    async run(input) {
      writeFileSync(path, input);
      try {
        const read = await readNixSupport({ storeDir: defaultStoreDir, realStoreDir: folder }, "out", output);
        for (const product of read.products) {
          assert(product.name.length <= 255, "a product with an impossible name");
          assert(!product.subPath.split("/").includes(".."), "a product outside of its path");
        }
        for (const metric of read.metrics) assert(/^[A-Za-z0-9._-]+$/.test(metric.name), "a metric's name");
      } finally {
        rmSync(path, { force: true });
      }
    },
  };
}

export const packageTargets: readonly FuzzTarget[] = [
  fileTarget("hydra-build-products", 1, [
    `file binary-dist "/nix/store/${output}/file" file\nreport coverage /nix/store/${output}\n`,
    `doc manual /nix/store/${output} share/doc/index.html\r\n`,
  ]),
  fileTarget("hydra-metrics", 1, ["size 12345 KiB\nspeed 1e5\nratio .5 %\nx inf\ny nan s\n"]),
  fileTarget("hydra-release-name", 1, ["nixos-26.11pre12345.abcdef\n"]),
];
