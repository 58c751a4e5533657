/** A build of known CPU time, memory and disk traffic, which counts for itself, and what others said of it compared with that. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import type { TestNixStore } from "./nix.js";

/**
 * Uses 0.8 s of CPU time in a child and 1.5 s in itself, 200 MiB of memory, writes 64 MiB and reads them four times:
 * programs that are not in memory are read as well, 10 MiB of them by processes that this one does not count.
 */
const program = `
const fs = require("node:fs");
const { execFileSync, spawnSync } = require("node:child_process");
const out = process.env.out;
fs.mkdirSync(out);
const busy = (end) => "let n = 0; while (process.cpuUsage().user < " + end + ") for (let i = 0; i < 1e6; i++) n += Math.sqrt(i);";
spawnSync(process.execPath, ["-e", busy(800000)], { stdio: "inherit" });
const held = Buffer.alloc(200 << 20, 1);
const file = out + "/file";
const handle = fs.openSync(file, "w");
for (let i = 0; i < 64; i++) fs.writeSync(handle, held, 0, 1 << 20);
fs.fsyncSync(handle);
fs.closeSync(handle);
for (let i = 0; i < 4; i++) execFileSync("/usr/bin/dd", ["if=" + file, "of=/dev/null", "bs=1M", "iflag=direct"], { stdio: "ignore" });
eval(busy(1500000));
setTimeout(() => {
  const stat = fs.readFileSync("/proc/self/stat", "latin1").replace(/^.*[)] /, "").split(" ").map(Number);
  const io = fs.readFileSync("/proc/self/io", "latin1");
  fs.writeFileSync(out + "/truth.json", JSON.stringify({
    cpuUserMs: 10 * (stat[11] + stat[13]),
    cpuSystemMs: 10 * (stat[12] + stat[14]),
    peakMemoryBytes: 1024 * process.resourceUsage().maxRSS,
    readBytes: Number(/^read_bytes: (.*)$/m.exec(io)[1]),
    writtenBytes: Number(/^write_bytes: (.*)$/m.exec(io)[1]),
    held: held.length,
  }));
}, 1500);
`;

export const knownBuild = {
  /** Of `shellDerivation`. */
  script: `${process.execPath} -e "$program"`,
  attributes: `program = ${JSON.stringify(program)};`,
  /** What the store that builds it needs in its `nix.conf`. */
  nixConf: `extra-sandbox-paths = ${[...new Set(["/usr", "/lib", "/lib64", dirname(process.execPath)])].join(" ")}`,
};

const mebibyte = 2 ** 20;

type Counted = "cpuUserMs" | "cpuSystemMs" | "peakMemoryBytes" | "readBytes" | "writtenBytes";
export type Truth = Readonly<Record<Counted, number>>;

/** What the build counted, by its output. `output`: base name of the path. */
export async function truthOf(store: TestNixStore, output: string): Promise<Truth> {
  const truth = JSON.parse(await readFile(join(store.realStoreDir, output, "truth.json"), "utf8")) as Truth;
  expect(truth.cpuUserMs).toBeGreaterThanOrEqual(2000);
  expect(truth.peakMemoryBytes).toBeGreaterThan(200 * mebibyte);
  expect(truth.writtenBytes).toBeGreaterThanOrEqual(64 * mebibyte);
  expect(truth.readBytes).toBeGreaterThanOrEqual(256 * mebibyte);
  return truth;
}

/** Every number is right within 15 %; the little time in the kernel is compared with all CPU time. */
export function expectRight(
  measured: Readonly<Partial<Record<Counted, number | undefined>>>,
  truth: Truth,
): void {
  for (const name of ["cpuUserMs", "peakMemoryBytes", "readBytes", "writtenBytes"] as const) {
    expect((measured[name] ?? 0) / truth[name], name).toBeGreaterThan(0.85);
    expect((measured[name] ?? 0) / truth[name], name).toBeLessThan(1.15);
  }
  const system = (measured.cpuSystemMs ?? Number.NaN) - truth.cpuSystemMs;
  expect(Math.abs(system)).toBeLessThan(0.15 * (truth.cpuUserMs + truth.cpuSystemMs));
}
