/**
 * What a build used, as metadata of the call that reports it: `<source>;cu=<ms>;cs=<ms>;m=<bytes>;r=<bytes>;w=<bytes>`,
 * without the parts that were not measured. The message of the contract has no place for it, and peers that know nothing
 * of it are not disturbed.
 */
import type { BuildResources } from "../types.js";

/** Name of the metadata. */
export const resourcesHeader = "hydra-build-resources";

type Amount = Exclude<keyof BuildResources, "source">;

/** Keys of the header, and what no build can exceed: more is a mistake or a lie. */
const amounts: Readonly<Record<Amount, { readonly key: string; readonly most: number }>> = {
  // A year of a thousand processors.
  cpuUserMs: { key: "cu", most: 1000 * 366 * 86_400_000 },
  cpuSystemMs: { key: "cs", most: 1000 * 366 * 86_400_000 },
  // 64 TiB of memory, 4 PiB of traffic.
  peakMemoryBytes: { key: "m", most: 2 ** 46 },
  readBytes: { key: "r", most: 2 ** 52 },
  writtenBytes: { key: "w", most: 2 ** 52 },
};

const sources: readonly string[] = ["daemon", "cgroup", "samples"] satisfies BuildResources["source"][];

function isSource(text: string): text is BuildResources["source"] {
  return sources.includes(text);
}

/** The value of the header. */
export function resourcesToHeader(resources: BuildResources): string {
  const parts = (Object.keys(amounts) as Amount[]).flatMap((name) => {
    const value = resources[name];
    return value === undefined || !(value >= 0) ? [] : [`${amounts[name].key}=${Math.round(value)}`];
  });
  return [resources.source, ...parts].join(";");
}

/**
 * A value that is not understood or not plausible counts as none: the report itself is not to be lost for it. Keys that
 * only a newer builder knows are skipped.
 */
export function resourcesFromHeader(
  value: string | readonly string[] | undefined,
): BuildResources | undefined {
  if (typeof value !== "string" || value.length > 200) return undefined;
  const [source = "", ...parts] = value.split(";");
  if (!isSource(source)) return undefined;
  const texts = new Map(parts.map((part) => part.split("=", 2)).map(([key = "", text = ""]) => [key, text]));
  const resources: { source: BuildResources["source"] } & Partial<Record<Amount, number>> = { source };
  for (const name of Object.keys(amounts) as Amount[]) {
    const { key, most } = amounts[name];
    const text = texts.get(key);
    if (text === undefined || !/^\d{1,16}$/.test(text) || Number(text) > most) continue;
    resources[name] = Number(text);
  }
  return Object.keys(resources).length > 1 ? resources : undefined;
}
