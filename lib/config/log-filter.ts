/**
 * Log filters: comma-separated directives `level` or `target=level`, as operators write them into `RUST_LOG`. Spans
 * and fields in brackets are accepted and ignored.
 */
import { aList, anObject, aText, checkArgument, checkMembers } from "../argument-checks.js";
import { UsageError } from "../errors.js";
import type { LogFormat } from "../log.js";
import { type FilterLevel, filterLevels, type LevelOfTarget, LogLevels } from "../log-levels.js";

/** A parsed filter. */
export interface LogFilter {
  /** For targets without a directive of their own. */
  readonly level: FilterLevel;
  /** Longest target first. */
  readonly targets: readonly { readonly target: string; readonly level: FilterLevel }[];
}

function parseLevel(text: string): FilterLevel | undefined {
  if (/^[0-5]$/.test(text)) return filterLevels[Number(text)];
  return filterLevels.find((level) => level === text.toLowerCase());
}

/** Undefined when the text is not a filter. An empty one lets errors through only. */
export function parseLogFilter(text: string): LogFilter | undefined {
  checkArgument("parseLogFilter", "text", text, aText);
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
  checkMembers("levelForTarget", filter, { level: aText, targets: aList });
  checkArgument("levelForTarget", "target", target, aText);
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
 * What a filter says about the rooms of a program. A room is meant by its name (`database=debug`) or below that of the
 * program (`hydra_queue_runner::database=debug`); without a directive of its own it goes with the program.
 *
 * @throws UsageError when the text is not a filter
 */
export function readLogFilter(program: string, text: string): LevelOfTarget {
  const filter = parseLogFilter(text);
  if (filter === undefined || misspeltLevel(text, program) !== undefined) {
    throw new UsageError(
      `${JSON.stringify(text)} is not a log filter; use off, error, warn, info, debug, trace or a list like ${program}=debug,info`,
    );
  }
  return levelsOfRooms(program, filter);
}

function levelsOfRooms(program: string, filter: LogFilter): LevelOfTarget {
  return (room) =>
    filter.targets.find(({ target }) => target === normalTarget(room))?.level ??
    levelForTarget(filter, `${program}::${room}`);
}

/**
 * The log levels of a program by its environment: `LOG_LEVEL`, else `RUST_LOG`, else `info`. A `RUST_LOG` that is not a
 * filter counts as `info`, because other programs read it as well. `program`: its name in filters.
 *
 * @throws UsageError when `LOG_LEVEL` is not a filter
 */
export function programLogLevels(
  program: string,
  env: Readonly<Record<string, string | undefined>>,
): LogLevels {
  checkArgument("programLogLevels", "program", program, aText);
  checkArgument("programLogLevels", "env", env, anObject);
  const { LOG_LEVEL: own, RUST_LOG: shared } = env;
  const read = (text: string): LevelOfTarget => readLogFilter(program, text);
  if (own !== undefined) {
    try {
      return new LogLevels(read, own);
    } catch (cause) {
      throw new UsageError(`LOG_LEVEL: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
  const filter = shared === undefined ? undefined : parseLogFilter(shared);
  if (shared === undefined || filter === undefined) return new LogLevels(read, "info");
  let first = true;
  // Others read it too, so what looks misspelt may be meant for them; a later filter is ours alone.
  const lenient = (text: string): LevelOfTarget => {
    if (!first) return read(text);
    first = false;
    return levelsOfRooms(program, filter);
  };
  return new LogLevels(lenient, shared);
}

/** The log level of a program as a whole; see {@link programLogLevels}. @throws UsageError */
export function programLogLevel(
  program: string,
  env: Readonly<Record<string, string | undefined>>,
): FilterLevel {
  checkArgument("programLogLevel", "program", program, aText);
  checkArgument("programLogLevel", "env", env, anObject);
  return programLogLevels(program, env).levelOf(program);
}

/** How a program writes its log by its environment: `LOG_FORMAT`, else text. @throws UsageError for another word */
export function programLogFormat(env: Readonly<Record<string, string | undefined>>): LogFormat {
  checkArgument("programLogFormat", "env", env, anObject);
  const format = env.LOG_FORMAT ?? "text";
  if (format === "text" || format === "json") return format;
  throw new UsageError(`LOG_FORMAT: ${JSON.stringify(format)} is not a log format; use text or json`);
}
