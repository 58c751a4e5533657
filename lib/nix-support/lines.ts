/**
 * The line formats below `nix-support/`, as text only.
 *
 * The rule is that of Hydra's C++ queue runner: a line counts when the whole of it matches. Names of metrics, units and
 * release names consist of the characters that Hydra's own checks name.
 */
import type { BuildMetric } from "../rpc/types.js";

const float = /^[+-]?(?:inf(?:inity)?|nan|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i;

/** A number as C and Rust write it: `4`, `1e5`, `.5`, `inf`, `nan`. Undefined for anything else. */
export function parseFloatStrictly(text: string): number | undefined {
  if (!float.test(text)) return undefined;
  const lower = text.toLowerCase();
  if (lower.includes("nan")) return Number.NaN;
  if (lower.includes("inf"))
    return lower.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(text);
}

/** Lines of `hydra-metrics`: `name value [unit …]`. The last line wins per name, which keeps its first place. */
export function parseMetrics(text: string): BuildMetric[] {
  const metrics = new Map<string, BuildMetric>();
  for (const line of text.split("\n")) {
    const [name, valueText, unit] = line.trim().split(/\s+/);
    if (name === undefined || valueText === undefined || !/^[A-Za-z0-9._-]+$/.test(name)) continue;
    const value = parseFloatStrictly(valueText);
    if (value === undefined) continue;
    metrics.set(name, {
      name,
      value,
      unit: unit !== undefined && /^[A-Za-z0-9._%-]+$/.test(unit) ? unit : undefined,
    });
  }
  return [...metrics.values()];
}

/** The text of `hydra-release-name`; undefined when it is not one. */
export function parseReleaseName(text: string): string | undefined {
  const name = text.trim();
  return /^[A-Za-z0-9.@:_-]+$/.test(name) ? name : undefined;
}

export interface ProductLine {
  readonly type: string;
  readonly subtype: string;
  /** Without quotes; not checked in any way. */
  readonly path: string;
  readonly entry: string;
}

const productLine =
  /^([A-Za-z0-9_-]+)[ \t]+([A-Za-z0-9_-]+)[ \t]+(?:"([^"]+)"|([^\s"<>]+))(?:[ \t]+([^\s"<>]+))?[ \t\r]*$/;

/** One line of `hydra-build-products`: `type subtype path [entry]`, the path perhaps in double quotes. */
export function parseProductLine(line: string): ProductLine | undefined {
  const match = productLine.exec(line);
  const [, type, subtype, quoted, plain, entry] = match ?? [];
  const path = quoted ?? plain;
  if (type === undefined || subtype === undefined || path === undefined) return undefined;
  return { type, subtype, path, entry: entry ?? "" };
}

/** The name a product of this sub-path gets: its last component, unless that has characters Hydra does not show. */
export function productName(subPath: string): string {
  const name = subPath.slice(subPath.lastIndexOf("/") + 1);
  return /^[A-Za-z0-9.@:_+\- ]*$/.test(name) ? name : "";
}
