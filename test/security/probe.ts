/** What an attack costs the program under attack, measured inside of it. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const program = fileURLToPath(new URL("probe.mjs", import.meta.url));

/** Longest work between two turns of the event loop, in milliseconds of processor time. */
const longestGapMs = 250;
/** Growth of resident memory, in bytes. */
const mostMemory = 300 * 2 ** 20;

/** Variables that make a program write its measurements to `file`. */
export function probed(file: string): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${program}`, PROBE_FILE: file };
}

interface Measurement {
  readonly gap: number;
  readonly memory: number;
}

async function measurements(file: string): Promise<Measurement[]> {
  const lines = (await readFile(file, "utf8")).split("\n");
  return lines.slice(0, -1).map((line) => {
    const [gap = 0, memory = 0] = line.split(" ").map(Number);
    return { gap, memory };
  });
}

/** Runs an attack; the program that writes to `file` must have stayed responsive and small. */
export async function expectBounded(file: string, attack: () => Promise<unknown>): Promise<void> {
  await sleep(150);
  const before = await measurements(file);
  const memoryBefore = before.at(-1)?.memory ?? 0;
  expect(memoryBefore).toBeGreaterThan(0);
  await attack();
  // A program that is blocked writes late.
  const during = (): Promise<Measurement[]> => measurements(file).then((all) => all.slice(before.length));
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    await sleep(200);
    if ((await during()).length >= 4) break;
  }
  const seen = await during();
  expect(seen.length).toBeGreaterThanOrEqual(4);
  const gap = Math.max(...seen.map((one) => one.gap));
  const growth = Math.max(...seen.map((one) => one.memory)) - memoryBefore;
  expect({ gap: gap < longestGapMs ? "short" : gap }).toEqual({ gap: "short" });
  expect({ growth: growth < mostMemory ? "small" : growth }).toEqual({ growth: "small" });
}
