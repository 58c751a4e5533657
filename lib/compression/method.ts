/** Names of the compression methods, as narinfos and Content-Encoding headers write them. */
import { type ArgumentRule, aText, checkArgument, oneOf } from "../argument-checks.js";

/** All methods; the order means nothing. `gzip` is for reading caches of others: Nix does not write it. */
export const compressionMethods = ["none", "xz", "zstd", "br", "bzip2", "gzip"] as const;
/** One of `compressionMethods`, as the field `Compression` of a narinfo names it. */
export type CompressionMethod = (typeof compressionMethods)[number];

const extensions: Readonly<Record<CompressionMethod, string>> = {
  none: "",
  xz: ".xz",
  zstd: ".zst",
  br: ".br",
  bzip2: ".bz2",
  gzip: ".gz",
};

const levels: Readonly<Record<CompressionMethod, LevelRange>> = {
  none: { fastest: 0, best: 0, usual: 0 },
  xz: { fastest: 0, best: 9, usual: 5 },
  zstd: { fastest: -7, best: 22, usual: 3 },
  // The library's own default, 11, takes minutes for what 9 does in seconds.
  br: { fastest: 0, best: 11, usual: 9 },
  bzip2: { fastest: 1, best: 9, usual: 9 },
  gzip: { fastest: 1, best: 9, usual: 6 },
};

/** The levels a method has, in the method's own numbers; a higher one is slower and smaller. */
export interface LevelRange {
  readonly fastest: number;
  readonly best: number;
  /** What an unset level means. */
  readonly usual: number;
}

/** The name of a method, as an argument. */
export const aCompressionMethod: ArgumentRule = oneOf(compressionMethods);

/** Whether `text` is the exact name of a method. */
export function isCompressionMethod(text: string): text is CompressionMethod {
  return Object.hasOwn(extensions, text);
}

/** A method by any of its names (`zst` and `bz2` are taken as well, in any case); undefined when it is not known. */
export function parseCompressionMethod(text: string): CompressionMethod | undefined {
  checkArgument("parseCompressionMethod", "text", text, aText);
  const name = text.trim().toLowerCase();
  if (name === "zst") return "zstd";
  if (name === "bz2") return "bzip2";
  return isCompressionMethod(name) ? name : undefined;
}

/** What file names end with: `.xz`, or nothing for `none`. */
export function methodExtension(method: CompressionMethod): string {
  checkArgument("methodExtension", "method", method, aCompressionMethod);
  return extensions[method];
}

/** The levels of a method. */
export function levelRange(method: CompressionMethod): LevelRange {
  checkArgument("levelRange", "method", method, aCompressionMethod);
  return levels[method];
}

/** The level to use: the usual one when unset, else the nearest that the method has. */
export function clampLevel(method: CompressionMethod, level: number | undefined): number {
  const { fastest, best, usual } = levels[method];
  if (level === undefined || !Number.isFinite(level)) return usual;
  return Math.min(best, Math.max(fastest, Math.trunc(level)));
}
