// Loggers of other libraries as this one's `Logger`: pino, and the logs API of OpenTelemetry.
import { type LogFields, type LogLevel, loggerOn } from "hydra-runner";

/** A logger of pino has these methods. */
type Pino = Readonly<Record<LogLevel, (fields: LogFields, message: string) => void>>;
const pinoLogger = (pino: Pino) => loggerOn((level, message, fields) => pino[level](fields, message));

/** A logger of `@opentelemetry/api-logs` has this method. */
interface OpenTelemetryLogger {
  emit(record: { severityText: string; body: string; attributes: Record<string, string> }): void;
}
const openTelemetryLogger = (target: OpenTelemetryLogger) =>
  loggerOn((level, body, fields) => {
    const attributes = Object.entries(fields).map(([name, value]) => [name, String(value)]);
    target.emit({ severityText: level.toUpperCase(), body, attributes: Object.fromEntries(attributes) });
  });

// Loggers that print, in place of the real ones.
const print = (level: LogLevel) => (fields: LogFields, message: string) =>
  console.log(level, message, fields);
const [error, warn, info] = [print("error"), print("warn"), print("info")];
const pino: Pino = { error, warn, info, debug: print("debug"), trace: print("trace") };
pinoLogger(pino).info("joined", { machine: "mac-1" });
openTelemetryLogger({ emit: (record) => console.log(record) })
  .child({ machine: "mac-1" })
  .warn("held", { until: "14:05" });
