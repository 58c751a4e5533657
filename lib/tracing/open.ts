/** Opens tracing as the environment asks for it: from events to the collector. */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { aFunction, aLogger, anObject, checkMade, checkMembers, optional } from "../argument-checks.js";
import type { BuildEvent } from "../builder/index.js";
import type { Logger } from "../log.js";
import type { QueueRunner, RunnerEvent, TracedOrder } from "../runner/index.js";
import { packageVersion } from "../version.js";
import { BuilderSpans } from "./builder-spans.js";
import { Collector, printEndpoint } from "./collector.js";
import { type Environment, readTracingSettings, type TracingSettings } from "./environment.js";
import { ExportQueue } from "./export-queue.js";
import { RunnerSpans } from "./runner-spans.js";
import type { Sampler } from "./sampler.js";
import type { Attributes, Span, SpanSink } from "./span.js";

/** How tracing is opened. */
export interface OpenTracingOptions {
  /** Where the variables are. Default `process.env`. */
  readonly env?: Environment | undefined;
  readonly logger: Logger;
}

/** Closing waits this long for the last spans. */
const lastSpansMs = 3_000;

/** Spans on their way from one program to its collector. */
class Exporter implements AsyncDisposable {
  readonly sampler: Sampler;
  readonly sink: SpanSink;
  readonly #queue: ExportQueue;
  readonly #collector: Collector;

  constructor({ collector, sampler, limits, resource }: TracingSettings, service: string, logger: Logger) {
    this.#collector = new Collector(collector);
    this.#queue = new ExportQueue({
      collector: this.#collector,
      source: {
        resource: { ...processAttributes(service), ...resource },
        scope: { name: "hydra-runner", version: packageVersion },
      },
      limits,
      endpoint: printEndpoint(collector.endpoint),
      logger,
    });
    this.sampler = sampler;
    this.sink = (span: Span) => this.#queue.add(span);
  }

  /** Spans that did not reach the collector so far. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue.close(lastSpansMs);
    this.#collector[Symbol.dispose]();
  }
}

function processAttributes(service: string): Attributes {
  return {
    "service.name": service,
    "service.version": packageVersion,
    "service.instance.id": randomUUID(),
    "host.name": hostname(),
    "process.pid": process.pid,
    "process.runtime.name": "nodejs",
    "process.runtime.version": process.versions.node,
    "telemetry.sdk.name": "hydra-runner",
    "telemetry.sdk.language": "nodejs",
    "telemetry.sdk.version": packageVersion,
  };
}

const openRules = { env: optional(anObject), logger: aLogger };

/** Undefined when the environment does not ask for traces, or in a way that cannot work, which is logged. */
async function openExporter(
  service: string,
  { env = process.env, logger }: OpenTracingOptions,
): Promise<Exporter | undefined> {
  const { settings, warnings } = await readTracingSettings(env);
  for (const warning of warnings) logger.warn(warning);
  if (settings === undefined) return undefined;
  const { collector, samplerName } = settings;
  logger.info("sending traces", { endpoint: printEndpoint(collector.endpoint), sampler: samplerName });
  return new Exporter(settings, service, logger);
}

const tracedEvents = [
  "stepStarted",
  "stepRetried",
  "stepFinished",
  "stepRecorded",
  "uploadFinished",
  "buildFinished",
  "buildRemoved",
] as const;

/** The traces of a queue runner. */
export class RunnerTracing implements AsyncDisposable {
  readonly #spans: RunnerSpans;
  readonly #exporter: Exporter;

  private constructor(exporter: Exporter, frontendUrl: (() => string | undefined) | undefined) {
    checkMade("RunnerTracing", "RunnerTracing.open()", exporter instanceof Exporter);
    this.#exporter = exporter;
    this.#spans = new RunnerSpans({ ...exporterParts(exporter), frontendUrl });
  }

  /**
   * Opens the connection to a collector when `OTEL_EXPORTER_OTLP_ENDPOINT` (or the same for traces alone) is set;
   * undefined when it is not, or when it cannot be used, which is logged. `frontendUrl`: address of Hydra's front-end, for
   * links to builds; read at each use. Dispose of it after the runner is closed.
   */
  static async open(
    options: OpenTracingOptions & { readonly frontendUrl?: (() => string | undefined) | undefined },
  ): Promise<RunnerTracing | undefined> {
    checkMembers("RunnerTracing.open", options, { ...openRules, frontendUrl: optional(aFunction) });
    const exporter = await openExporter("hydra-queue-runner", options);
    return exporter && new RunnerTracing(exporter, options.frontendUrl);
  }

  /** For the option of this name of a `QueueRunner`. */
  readonly traceOrder = (order: TracedOrder): string | undefined => this.#spans.contextOf(order);

  /** Makes spans of what happens in a runner; call it before the runner starts. */
  follow(runner: Pick<QueueRunner, "on">): void {
    for (const name of tracedEvents) runner.on(name, (event: RunnerEvent) => this.#spans.add(event));
  }

  /** Spans that did not reach the collector so far. */
  get dropped(): number {
    return this.#exporter.dropped;
  }

  /** Sends the last spans, for at most three seconds. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#exporter[Symbol.asyncDispose]();
  }
}

/** The traces of a builder. */
export class BuilderTracing implements AsyncDisposable {
  readonly #spans: BuilderSpans;
  readonly #exporter: Exporter;

  private constructor(exporter: Exporter) {
    checkMade("BuilderTracing", "BuilderTracing.open()", exporter instanceof Exporter);
    this.#exporter = exporter;
    this.#spans = new BuilderSpans(exporterParts(exporter));
  }

  /** As `RunnerTracing.open`. Dispose of it after the builder is closed. */
  static async open(options: OpenTracingOptions): Promise<BuilderTracing | undefined> {
    checkMembers("BuilderTracing.open", options, openRules);
    const exporter = await openExporter("hydra-builder", options);
    return exporter && new BuilderTracing(exporter);
  }

  /** For the option of this name of a `BuilderClient`. */
  readonly onBuild = (event: BuildEvent): void => this.#spans.add(event);

  /** For the option of this name of a `BuilderClient`. */
  readonly traceReport = (buildId: string): string | undefined => this.#spans.contextOf(buildId);

  /** Spans that did not reach the collector so far. */
  get dropped(): number {
    return this.#exporter.dropped;
  }

  /** Sends the last spans, for at most three seconds. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#exporter[Symbol.asyncDispose]();
  }
}

function exporterParts({ sink, sampler }: Exporter): { readonly sink: SpanSink; readonly sampler: Sampler } {
  return { sink, sampler };
}
