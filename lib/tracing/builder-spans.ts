/**
 * Spans of a builder, made from the events of its builds.
 *
 *     build <derivation>     from the order to the outcome; below the runner's `attempt`, if the order names it
 *     ├─ inputs
 *     ├─ build
 *     ├─ upload
 *     └─ describe            what the outputs are: sizes, products, release name
 */
import { BoundedMap } from "../async/index.js";
import type { BuildEvent } from "../builder/index.js";
import { derivationName, type StorePath } from "../nix/path/store-path.js";
import type { StepStatus } from "../rpc/index.js";
import { childOf, newSpanId, newTraceId } from "./ids.js";
import type { Sampler } from "./sampler.js";
import {
  type Attributes,
  newSpan,
  type ParentContext,
  type SpanContext,
  type SpanDetails,
  type SpanSink,
} from "./span.js";
import { parseTraceparent, printTraceparent } from "./traceparent.js";

/** What spans of a builder are made with. */
export interface BuilderSpansOptions {
  readonly sink: SpanSink;
  readonly sampler: Sampler;
}

interface OpenBuild {
  readonly context: SpanContext;
  readonly parent: ParentContext | undefined;
  readonly drv: StorePath;
  readonly startedAt: number;
  readonly phases: { readonly phase: StepStatus; readonly at: number }[];
}

const phaseNames: Readonly<Record<StepStatus, string>> = {
  preparing: "prepare",
  connecting: "connect",
  sendingInputs: "inputs",
  building: "build",
  waitingForLocalSlot: "wait for a slot",
  receivingOutputs: "upload",
  postProcessing: "describe",
};

/** Reports that may be about to be made; more than a machine builds at once. */
const mostReported = 1_000;

/** Turns events of builds into spans. */
export class BuilderSpans {
  readonly #options: BuilderSpansOptions;
  /** By the name of the attempt. A build that started ends with an event, so entries do not stay. */
  readonly #open = new Map<string, OpenBuild>();
  /** Builds that have ended and are being reported. */
  readonly #reported = new BoundedMap<string, SpanContext>({ capacity: mostReported });

  constructor(options: BuilderSpansOptions) {
    this.#options = options;
  }

  /** The span of a build, when it is reported; asked once. */
  contextOf(buildId: string): string | undefined {
    const context = this.#reported.get(buildId);
    this.#reported.delete(buildId);
    return context && printTraceparent(context);
  }

  /** Takes an event; a build that is over by it becomes spans. */
  add(event: BuildEvent): void {
    if (event.kind === "started") {
      this.#open.set(event.buildId, this.#begin(event));
      return;
    }
    const build = this.#open.get(event.buildId);
    if (build === undefined) return;
    switch (event.kind) {
      case "phase":
        build.phases.push({ phase: event.phase, at: event.at });
        return;
      case "aborted":
        this.#end(build, event, { "hydra.attempt.aborted": event.reason }, undefined);
        return;
      case "finished": {
        const { state, error } = event;
        const failed = state !== "success";
        const attributes = { "hydra.attempt.state": state, "error.type": failed ? state : undefined };
        this.#end(build, event, attributes, failed ? error || state : undefined);
        this.#reported.set(event.buildId, build.context);
        return;
      }
    }
  }

  #begin({ drv, at, traceparent }: Extract<BuildEvent, { readonly kind: "started" }>): OpenBuild {
    const context = parseTraceparent(traceparent);
    const parent = context && { ...context, remote: true };
    const traceId = parent?.traceId ?? newTraceId();
    const sampled = this.#options.sampler(traceId, parent);
    return { context: { traceId, spanId: newSpanId(), sampled }, parent, drv, startedAt: at, phases: [] };
  }

  #end(
    { context, parent, drv, startedAt, phases }: OpenBuild,
    { buildId, at }: BuildEvent,
    attributes: Attributes,
    error: string | undefined,
  ): void {
    this.#open.delete(buildId);
    const name = derivationName(drv);
    for (const [index, { phase, at: startMs }] of phases.entries()) {
      const last = index === phases.length - 1;
      this.#emit(
        childOf(context),
        { ...context, remote: false },
        {
          name: phaseNames[phase],
          startMs,
          endMs: phases[index + 1]?.at ?? at,
          error: last ? error : undefined,
        },
      );
    }
    this.#emit(context, parent, {
      name: `build ${name}`,
      kind: "server",
      startMs: startedAt,
      endMs: at,
      error,
      attributes: { "cicd.pipeline.task.name": name, "cicd.pipeline.task.run.id": drv, ...attributes },
    });
  }

  #emit(context: SpanContext, parent: ParentContext | undefined, details: SpanDetails): void {
    if (context.sampled) this.#options.sink(newSpan(context, parent, details));
  }
}
