// Adapters from a library's logger to this one's `Logger`: pino, and the logs API of OpenTelemetry.
import type { Logger } from "hydra-runner";

/** A logger of pino has these methods. */
type PinoMethod = (fields: object, message: string) => void;
interface Pino extends Readonly<Record<"error" | "warn" | "info" | "debug" | "trace", PinoMethod>> {
  child(fields: object): Pino;
}

const pinoLogger = (pino: Pino): Logger => ({
  error: (message, fields = {}) => pino.error(fields, message),
  warn: (message, fields = {}) => pino.warn(fields, message),
  info: (message, fields = {}) => pino.info(fields, message),
  debug: (message, fields = {}) => pino.debug(fields, message),
  trace: (message, fields = {}) => pino.trace(fields, message),
  child: (fields) => pinoLogger(pino.child(fields)),
});

/** A logger of `@opentelemetry/api-logs` has this method. */
interface OpenTelemetryLogger {
  emit(record: { severityText: string; body: string; attributes: Record<string, string> }): void;
}

function openTelemetryLogger(target: OpenTelemetryLogger, own: object = {}): Logger {
  const emit =
    (severityText: string) =>
    (body: string, fields: object = {}) => {
      const named = Object.entries({ ...own, ...fields }).map(
        ([name, value]) => [name, String(value)] as const,
      );
      target.emit({ severityText, body, attributes: Object.fromEntries(named) });
    };
  const [error, warn, info] = [emit("ERROR"), emit("WARN"), emit("INFO")];
  const child = (fields: object) => openTelemetryLogger(target, { ...own, ...fields });
  return { error, warn, info, debug: emit("DEBUG"), trace: emit("TRACE"), child };
}

// Loggers that print, in place of the real ones.
const print = (level: string) => (fields: object, message: string) => console.log(level, message, fields);
const [error, warn, info, debug, trace] = ["error", "warn", "info", "debug", "trace"].map(print);
const pino = { error, warn, info, debug, trace, child: () => pino } as Pino;
pinoLogger(pino).info("joined", { machine: "mac-1" });
openTelemetryLogger({ emit: (record) => console.log(record) })
  .child({ machine: "mac-1" })
  .warn("held", { until: "14:05" });
