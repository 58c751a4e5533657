/**
 * Log filters: comma-separated directives `level` or `target=level`, as operators write them into `RUST_LOG`. Spans
 * and fields in brackets are accepted and ignored.
 */
import { UsageError } from "../errors.js";
import type { LogFormat, LogLevel } from "../log.js";

/** A log level, or nothing at all. */
export type FilterLevel = LogLevel | "off";

/** A parsed filter. */
export interface LogFilter {
  /** For targets without a directive of their own. */
  readonly level: FilterLevel;
  /** Longest target first. */
  readonly targets: readonly { readonly target: string; readonly level: FilterLevel }[];
}

const levels: readonly FilterLevel[] = ["off", "error", "warn", "info", "debug", "trace"];

function parseLevel(text: string): FilterLevel | undefined {
  if (/^[0-5]$/.test(text)) return levels[Number(text)];
  return levels.find((level) => level === text.toLowerCase());
}

/** Undefined when the text is not a filter. An empty one lets errors through only. */
export function parseLogFilter(text: string): LogFilter | undefined {
  let level: FilterLevel | undefined;
  const targets = new Map<string, FilterLevel>();
  // Commas inside brackets belong to a span's fields.
  for (const part of text.split(/,(?![^[]*\])/)) {
    const directive = part.trim();
    if (directive === "") continue;
    const match = /^([\w:.\-/]+)?(\[[^\]]*\])?(?:=([A-Za-z0-5]+))?$/.exec(directive);
    if (match === null) return undefined;
    const [, name = "", span, levelText] = match;
    if (name === "" && span === undefined) return undefined;
    const bare = span === undefined && levelText === undefined ? parseLevel(name) : undefined;
    if (bare !== undefined) {
      level = bare;
      continue;
    }
    const wanted = levelText === undefined ? "trace" : parseLevel(levelText);
    if (wanted === undefined) return undefined;
    // A directive for one span only must not raise the level of its whole target.
    if (span === undefined) targets.set(normalTarget(name), wanted);
  }
  return {
    level: level ?? "error",
    targets: [...targets]
      .map(([target, targetLevel]) => ({ target, level: targetLevel }))
      .sort((a, b) => b.target.length - a.target.length),
  };
}

function normalTarget(target: string): string {
  return target.toLowerCase().replaceAll("-", "_");
}

/** The level of a target: that of the longest directive which is the target or a part of the path to it. */
export function levelForTarget(filter: LogFilter, target: string): FilterLevel {
  const wanted = normalTarget(target);
  const found = filter.targets.find(
    (entry) => wanted === entry.target || wanted.startsWith(`${entry.target}::`),
  );
  return found?.level ?? filter.level;
}

/** A bare word that is neither a level nor the program's own target: a misspelt level rather than a filter. */
function misspeltLevel(text: string, target: string): string | undefined {
  return text
    .split(/,(?![^[]*\])/)
    .map((directive) => directive.trim())
    .find((word) => /^[^=[]+$/.test(word) && parseLevel(word) === undefined && normalTarget(word) !== target);
}

/**
 * The log level of a program by its environment: `LOG_LEVEL`, else `RUST_LOG`, else `info`. A `RUST_LOG` that is not a
 * filter counts as `info`, because other programs read it as well.
 *
 * @throws UsageError when `LOG_LEVEL` is not a filter
 */
export function programLogLevel(
  target: string,
  env: Readonly<Record<string, string | undefined>>,
): FilterLevel {
  const { LOG_LEVEL: own } = env;
  const text = own ?? env.RUST_LOG;
  const filter = text === undefined ? undefined : parseLogFilter(text);
  if (own !== undefined && (filter === undefined || misspeltLevel(own, target) !== undefined)) {
    throw new UsageError(
      `LOG_LEVEL: ${JSON.stringify(own)} is not a log filter; use off, error, warn, info, debug, trace or a list like ${target}=debug,info`,
    );
  }
  return filter === undefined ? "info" : levelForTarget(filter, target);
}

/** How a program writes its log by its environment: `LOG_FORMAT`, else text. @throws UsageError for another word */
export function programLogFormat(env: Readonly<Record<string, string | undefined>>): LogFormat {
  const format = env.LOG_FORMAT ?? "text";
  if (format === "text" || format === "json") return format;
  throw new UsageError(`LOG_FORMAT: ${JSON.stringify(format)} is not a log format; use text or json`);
}
