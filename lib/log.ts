/**
 * Structured logging: one line per event on standard error, `time LEVEL target message key=value …`.
 *
 * Values are printed, never interpreted; callers must not hand in secrets.
 */
import { errorChain } from "./errors.js";

export type LogLevel = "error" | "warn" | "info" | "debug" | "trace";

/** Values attached to a log line. Errors print their chain of causes. */
export type LogFields = Readonly<Record<string, unknown>>;

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

export interface LoggerOptions {
  readonly target: string;
  readonly level?: LogLevel;
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
    let line = `${new Date().toISOString()} ${level.toUpperCase().padStart(5)} ${options.target}: ${message}`;
    for (const [key, value] of Object.entries({ ...base, ...fields })) {
      if (value !== undefined) line += ` ${key}=${printValue(value)}`;
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
      createLogger({ ...options, target: target ?? options.target, fields: { ...base, ...fields } }),
  };
}

/** A logger that drops everything; the default of library classes. */
export const silentLogger: Logger = createLogger({ target: "silent", level: "error", write: () => {} });
