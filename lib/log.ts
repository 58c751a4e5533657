/**
 * Structured logging: one line per event on standard error, `time LEVEL target message key=value …` or a JSON object.
 *
 * Values are printed, never interpreted; callers must not hand in secrets.
 */
import {
  aFunction,
  anObject,
  aText,
  checkArgument,
  checkMembers,
  having,
  oneOf,
  optional,
} from "./argument-checks.js";
import { errorChain } from "./errors.js";
import { LineFolder } from "./log-fold.js";
import { type FilterLevel, filterLevels, type LogLevels } from "./log-levels.js";

/** From the most severe to the least. */
export type LogLevel = Exclude<FilterLevel, "off">;

/** Values attached to a log line. Errors print their chain of causes. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes events; messages are constant texts, what varies goes into fields. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  trace(message: string, fields?: LogFields): void;
  /** A logger whose lines carry `fields` (and, when given, another target name) as well. */
  child(fields: LogFields, target?: string): Logger;
}

function printValue(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(errorChain(value));
  if (typeof value === "string") return /^[\w.:/@+=-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  return String(value);
}

/** Names that every JSON line has; a field of such a name gets an underscore in front. */
const ownKeys: ReadonlySet<string> = new Set(["time", "level", "target", "message"]);

function jsonValue(value: unknown): unknown {
  if (value instanceof Error) return errorChain(value);
  if (typeof value === "bigint") return String(value);
  return value;
}

function jsonLine(event: LogEvent): string {
  const { time, level, target, message, fields } = event;
  const named = Object.entries(fields).map(([key, value]): [string, unknown] => [
    ownKeys.has(key) ? `_${key}` : key,
    jsonValue(value),
  ]);
  const line = { time, level, target, message, ...Object.fromEntries(named) };
  return JSON.stringify(line, (_, value: unknown) => jsonValue(value));
}

function textLine({ time, level, target, message, fields }: LogEvent): string {
  let line = `${time} ${level.toUpperCase().padStart(5)} ${target}: ${message}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${printValue(value)}`;
  }
  return line;
}

interface LogEvent {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly level: LogLevel;
  readonly target: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** How a log line is written. */
export type LogFormat = "text" | "json";

/** What a logger is made with. */
export interface LoggerOptions {
  readonly target: string;
  /** Least grave level that is written, or a level for each target that may change. Default: info. */
  readonly level?: LogLevel | LogLevels;
  /** Write equal lines a few times only and then count them. `true`: as `LineFolder` does by default. Default: no. */
  readonly fold?: boolean | LineFolder;
  /** Default: text. */
  readonly format?: LogFormat;
  /** Receives finished lines without the newline. Default: standard error. */
  readonly write?: (line: string) => void;
  /** Fields that every line carries. */
  readonly fields?: LogFields;
}

function upTo(limit: LogLevel): (level: LogLevel) => boolean {
  const highest = filterLevels.indexOf(limit);
  return (level) => filterLevels.indexOf(level) <= highest;
}

/** Makes a logger that drops events below `level`. */
export function createLogger(options: LoggerOptions): Logger {
  checkMembers("createLogger", options, {
    target: aText,
    level: optional(oneOf(filterLevels, having("a LogLevels", ["allows"]))),
    format: optional(oneOf(["text", "json"])),
    write: optional(aFunction),
    fields: optional(anObject),
  });
  const { target, level: limit = "info" } = options;
  const folder = options.fold === true ? new LineFolder() : options.fold === false ? undefined : options.fold;
  const isWanted = typeof limit === "string" ? upTo(limit) : (level: LogLevel) => limit.allows(target, level);
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const base = options.fields ?? {};
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (!isWanted(level)) return;
    const all = { ...base, ...fields };
    const print = (shown: LogFields): string => {
      const time = new Date().toISOString();
      const event = { time, level, target, message, fields: shown };
      return options.format === "json" ? jsonLine(event) : textLine(event);
    };
    const line = print(all);
    const repeated = (unwritten: number): void => write(print({ ...all, repeated: unwritten }));
    if (folder?.admit(withoutTime(line, options.format), repeated) === false) return;
    if (folder !== undefined) {
      for (const { by, most, admit } of kindLimits(level, all)) {
        const leftOut = (unwritten: number): void => write(print({ ...by, leftOut: unwritten }));
        if (!folder[admit](JSON.stringify([level, target, message, by]), most, leftOut)) return;
      }
    }
    write(line);
  };
  return {
    error: (message, fields) => emit("error", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    info: (message, fields) => emit("info", message, fields),
    debug: (message, fields) => emit("debug", message, fields),
    trace: (message, fields) => emit("trace", message, fields),
    child: (fields, target) =>
      createLogger({
        ...options,
        target: target ?? options.target,
        fields: { ...base, ...fields },
        ...(folder === undefined ? {} : { fold: folder }),
      }),
  };
}

/**
 * A logger on another logging library: `write` gets each event, with the fields of its loggers. A child's other target is
 * the field `target`.
 */
export function loggerOn(
  write: (level: LogLevel, message: string, fields: LogFields) => void,
  base: LogFields = {},
): Logger {
  checkArgument("loggerOn", "argument 'write'", write, aFunction);
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void =>
      write(level, message, { ...base, ...fields });
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    debug: at("debug"),
    trace: at("trace"),
    child: (fields, target) =>
      loggerOn(write, { ...base, ...fields, ...(target === undefined ? {} : { target }) }),
  };
}

/** Lines of one kind that are written in a window of the folder, of one peer, or of one machine of a peer. */
const mostOfPeer = 20;
/** Warnings of one kind and machine; lines of one kind about all machines of a peer, which may be a proxy of a farm. */
const mostOfFarm = 200;

interface KindLimit {
  readonly by: LogFields;
  readonly most: number;
  /** How the folder counts them: a peer chooses the names of its machines. */
  readonly admit: "admitKind" | "admitNamed";
}

/**
 * How many lines like this one are written, and what distinguishes them from others with the same message. Lines with
 * a field `peer` are those that a peer can cause at will, with words of its choice: also with other names of machines.
 */
function kindLimits(level: LogLevel, { peer, machine, hostname }: LogFields): readonly KindLimit[] {
  // An id is another one each time a machine joins.
  const name = hostname ?? machine;
  if (typeof peer === "string") {
    // Each connection has another port.
    const address = peer.replace(/:\d+$/, "");
    if (name === undefined) return [{ by: { peer: address }, most: mostOfPeer, admit: "admitKind" }];
    return [
      { by: { machine: name, peer: address }, most: mostOfPeer, admit: "admitNamed" },
      { by: { peer: address }, most: mostOfFarm, admit: "admitKind" },
    ];
  }
  if (level !== "warn" && level !== "error") return [];
  return [{ by: name === undefined ? {} : { machine: name }, most: mostOfFarm, admit: "admitKind" }];
}

/** What equal lines have in common; both formats begin with a time of fixed length. */
function withoutTime(line: string, format: LogFormat = "text"): string {
  return line.slice(timeLength + (format === "json" ? '{"time":""'.length : 0));
}

/** Length of `2026-01-01T00:00:00.000Z`. */
const timeLength = 24;

/** A logger that drops everything; the default of library classes. */
export const silentLogger: Logger = createLogger({ target: "silent", level: "error", write: () => {} });
