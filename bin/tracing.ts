/** Traces of the programs, when the environment names a collector; else nothing of it is loaded. */
import type { Logger } from "../lib/process/index.js";
import type { BuilderTracing, RunnerTracing } from "../lib/tracing/index.js";

/** Without one of these, or with an empty one, nothing is traced. */
const endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] as const;

async function room(): Promise<typeof import("../lib/tracing/index.js") | undefined> {
  if (endpoints.every((name) => (process.env[name] ?? "") === "")) return undefined;
  return import("../lib/tracing/index.js");
}

/** Traces of a queue runner. `frontendUrl`: see `RunnerTracing.open`. */
export async function runnerTracing(
  logger: Logger,
  frontendUrl: () => string | undefined,
): Promise<RunnerTracing | undefined> {
  return (await room())?.RunnerTracing.open({ logger: logger.child({}, "tracing"), frontendUrl });
}

/** Traces of a builder. */
export async function builderTracing(logger: Logger): Promise<BuilderTracing | undefined> {
  return (await room())?.BuilderTracing.open({ logger: logger.child({}, "tracing") });
}
