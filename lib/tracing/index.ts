/**
 * Traces of builds for OpenTelemetry: spans made from the events of runner and builder, sent to a collector by OTLP over
 * HTTP, in JSON.
 *
 * In this room lives what knows of OpenTelemetry: identifiers and `traceparent`, samplers, the environment variables,
 * attributes by its conventions, the queue to the collector. Runner and builder know only the text of a `traceparent`;
 * the programs load this room when the environment asks for traces, and never else.
 *
 * The code is our own because what it needs of OpenTelemetry's SDK is little (spans are made when they are over, with
 * ids that both programs know), and because the maintained line of its exporter needs a newer Node than this package.
 */

/** The environment as tracing reads it. */
export type { Environment } from "./environment.js";
/** Traces of a runner and of a builder; start here. */
export { BuilderTracing, type OpenTracingOptions, RunnerTracing } from "./open.js";
