/**
 * The line formats below `nix-support/`, as text only: one line in, one value or the reason why there is none out.
 *
 * The rule is that of Hydra's C++ queue runner: a line counts when the whole of it matches. Names of metrics, units and
 * release names consist of the characters that Hydra's own checks name. Every pattern is linear in the line: no two
 * repetitions beside each other can match the same character.
 */
import type { BuildMetric } from "../rpc/types.js";

/** A line's value, why it has none, or `ignored` where nothing was meant to be said (blank lines, comments). */
export type LineResult<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "dropped"; readonly reason: string }
  | { readonly kind: "ignored" };

/** Longest name, unit or path component list that becomes a column: an index row of PostgreSQL has 2,704 bytes. */
const longestWord = 1024;
/** As long as paths can be on Linux. */
const longestPath = 4096;

const float = /^[+-]?(?:inf(?:inity)?|nan|(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)$/i;

/** A number as C and Rust write it: `4`, `1e5`, `.5`, `inf`, `nan`. Undefined for anything else. */
export function parseFloatStrictly(text: string): number | undefined {
  if (!float.test(text)) return undefined;
  const lower = text.toLowerCase();
  if (lower.includes("nan")) return Number.NaN;
  if (lower.includes("inf"))
    return lower.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(text);
}

const ignored = { kind: "ignored" } as const;
const dropped = (reason: string): { readonly kind: "dropped"; readonly reason: string } => ({
  kind: "dropped",
  reason,
});

/** One line of `hydra-metrics`: `name value [unit …]`. A unit with other characters than Hydra's counts as none. */
export function parseMetricLine(line: string): LineResult<BuildMetric> {
  const [name, valueText, unit] = line.trim().split(/\s+/, 3);
  if (name === undefined || name === "") return ignored;
  if (valueText === undefined) return dropped("a metric is 'name value [unit]'");
  if (!/^[A-Za-z0-9._-]+$/.test(name)) return dropped("the name has characters that Hydra does not allow");
  if (name.length > longestWord) return dropped(`the name is longer than ${longestWord} characters`);
  const value = parseFloatStrictly(valueText);
  if (value === undefined) return dropped("the value is not a number");
  const known = unit !== undefined && unit.length <= longestWord && /^[A-Za-z0-9._%-]+$/.test(unit);
  return { kind: "value", value: { name, value, unit: known ? unit : undefined } };
}

/** The text of `hydra-release-name`; undefined when it is not one. */
export function parseReleaseName(text: string): string | undefined {
  const name = text.trim();
  return /^[A-Za-z0-9.@:_-]+$/.test(name) ? name : undefined;
}

/** A product as its line names it. */
export interface ProductLine {
  readonly type: string;
  readonly subtype: string;
  /** Without quotes; not checked in any way. */
  readonly path: string;
  /** Default document within the product; empty when none is named. */
  readonly entry: string;
}

const productLine =
  /^([A-Za-z0-9_-]+)[ \t]+([A-Za-z0-9_-]+)[ \t]+(?:"([^"]+)"|([^\s"<>]+))(?:[ \t]+([^\s"<>]+))?[ \t\r]*$/;

/** One line of `hydra-build-products`: `type subtype path [entry]`, the path perhaps in double quotes. */
export function parseProductLine(line: string): LineResult<ProductLine> {
  if (/^\s*(?:#|$)/.test(line)) return ignored;
  const match = productLine.exec(line);
  const [, type, subtype, quoted, plain, entry = ""] = match ?? [];
  const path = quoted ?? plain;
  if (type === undefined || subtype === undefined || path === undefined) {
    return dropped("a product is 'type subtype path [entry]'");
  }
  if (path.length > longestPath || entry.length > longestPath) return dropped("the path is too long");
  if (type.length > longestWord || subtype.length > longestWord) return dropped("the type is too long");
  return { kind: "value", value: { type, subtype, path, entry } };
}

/** The name a product of this sub-path gets: its last component, unless that has characters Hydra does not show. */
export function productName(subPath: string): string {
  const name = subPath.slice(subPath.lastIndexOf("/") + 1);
  return /^[A-Za-z0-9.@:_+\- ]*$/.test(name) ? name : "";
}
