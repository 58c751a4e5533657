/**
 * Structured logging: one line per event on standard error, `time LEVEL target message key=value …` or a JSON object.
 *
 * Values are printed, never interpreted; callers must not hand in secrets.
 */
import { errorChain } from "./errors.js";

/** From the gravest to the most talkative. */
export type LogLevel = "error" | "warn" | "info" | "debug" | "trace";

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

const levels: readonly LogLevel[] = ["error", "warn", "info", "debug", "trace"];

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
  readonly level?: LogLevel;
  /** Default: text. */
  readonly format?: LogFormat;
  /** Receives finished lines without the newline. Default: standard error. */
  readonly write?: (line: string) => void;
  /** Fields that every line carries. */
  readonly fields?: LogFields;
}

/** Makes a logger that drops events below `level` (default `info`). */
export function createLogger(options: LoggerOptions): Logger {
  const threshold = levels.indexOf(options.level ?? "info");
  const write = options.write ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const base = options.fields ?? {};
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (levels.indexOf(level) > threshold) return;
    const time = new Date().toISOString();
    const event = { time, level, target: options.target, message, fields: { ...base, ...fields } };
    write(options.format === "json" ? jsonLine(event) : textLine(event));
  };
  return {
    error: (message, fields) => emit("error", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    info: (message, fields) => emit("info", message, fields),
    debug: (message, fields) => emit("debug", message, fields),
    trace: (message, fields) => emit("trace", message, fields),
    child: (fields, target) =>
      createLogger({ ...options, target: target ?? options.target, fields: { ...base, ...fields } }),
  };
}

/** A logger that drops everything; the default of library classes. */
export const silentLogger: Logger = createLogger({ target: "silent", level: "error", write: () => {} });
