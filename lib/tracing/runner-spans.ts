/**
 * Spans of a runner, made from its events, so that they say what journal, metrics and page say.
 *
 *     BUILD <project:jobset:job>           from the moment the runner takes the build in until its result is in the database
 *     └─ <name of a derivation>            a step, in the trace of the build that it is accounted to
 *        ├─ queue wait                     from runnable to a machine chosen; one for each try
 *        ├─ attempt                        the parent of what the builder does
 *        │  └─ inputs, build, upload       for a builder that does not trace: placed by the durations that it reports
 *        ├─ cache upload                   one try to bring what the step left into one cache
 *        └─ record                         from the report to the commit, the wait for the caches included
 */
import { BoundedMap } from "../async/index.js";
import type {
  BuildFinished,
  BuildRemoved,
  EventStep,
  EventTimes,
  RunnerEvent,
  StepFinished,
  StepRecorded,
  StepRetried,
  StepStarted,
  TracedOrder,
  UploadFinished,
} from "../runner/index.js";
import { childOf, newSpanId, spanIdOfAttempt, traceIdOfBuild } from "./ids.js";
import { errorOfResult, resultOfBuild, resultOfStep, statusName } from "./results.js";
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

/** What spans of a runner are made with. */
export interface RunnerSpansOptions {
  readonly sink: SpanSink;
  readonly sampler: Sampler;
  /** Address of Hydra's front-end, for links to builds. Read at each use. Default: no links. */
  readonly frontendUrl?: (() => string | undefined) | undefined;
}

/** A step from its first try to its end. */
interface StepTrace {
  /** The build that it is accounted to. */
  readonly build: number;
  readonly context: SpanContext;
  readonly parent: SpanContext;
  /** Of the try under way. */
  attempt: SpanContext;
  /** When the step could run first, and when it could before the try under way. */
  firstRunnableAt: number | undefined;
  runnableAt: number | undefined;
}

/** A step that is over. Its span waits until the end is recorded. */
interface EndedStep {
  readonly step: StepTrace;
  details: SpanDetails | undefined;
  /** Builds whose own step it is: they are not over before it is. */
  readonly builds: ((recordedAt: number) => void)[];
}

/** Builds and steps of which something is known at most; far more than a runner works at. */
const mostBuilds = 100_000;
const mostSteps = 20_000;

/** Turns events into spans. */
export class RunnerSpans {
  readonly #options: RunnerSpansOptions;
  /** Roots of builds in the queue that have had a step. */
  readonly #builds = new BoundedMap<number, SpanContext>({ capacity: mostBuilds });
  readonly #steps = new BoundedMap<string, StepTrace>({ capacity: mostSteps });
  /** Those that ended last: what comes later, as uploads, belongs to them. */
  readonly #ended = new BoundedMap<string, EndedStep>({ capacity: mostSteps });

  constructor(options: RunnerSpansOptions) {
    this.#options = options;
  }

  /** The span of a try, which its builder's spans are below; undefined when no build wants the step any more. */
  contextOf(order: TracedOrder): string | undefined {
    const step = this.#stepOf(order);
    if (step === undefined) return undefined;
    step.attempt = { ...step.attempt, spanId: spanIdOfAttempt(order.attempt) };
    return printTraceparent(step.attempt);
  }

  /** Takes an event; what is over by it becomes spans. */
  add(event: RunnerEvent): void {
    switch (event.type) {
      case "stepStarted":
        this.#started(event);
        break;
      case "stepRetried":
        this.#retried(event);
        break;
      case "stepFinished":
        this.#finished(event);
        break;
      case "stepRecorded":
        this.#recorded(event);
        break;
      case "uploadFinished":
        this.#uploaded(event);
        break;
      case "buildFinished":
        this.#buildFinished(event);
        break;
      case "buildRemoved":
        this.#buildRemoved(event);
        break;
      case "stepProgress":
      case "buildStarted":
      case "machineJoined":
      case "machineLeft":
      case "machineHeld":
      case "machineReleased":
      case "uploadRetried":
      case "problem":
        break;
    }
  }

  #started(event: StepStarted): void {
    const step = this.#stepOf(event);
    if (step === undefined) return;
    step.runnableAt = event.at - event.waitedMs;
    step.firstRunnableAt ??= step.runnableAt;
  }

  #retried(event: StepRetried): void {
    const step = this.#steps.get(event.drv);
    if (step === undefined || !event.started) return;
    this.#attempt(step, event, event.times, { attempt: event.try, reason: event.reason });
    step.attempt = childOf(step.context);
  }

  #finished(event: StepFinished): void {
    const { outcome, times, machine, reason } = event;
    const known = this.#steps.get(event.drv);
    const step = known ?? this.#stepOf(event);
    if (step === undefined) return;
    this.#steps.delete(event.drv);
    if (event.started && times !== undefined) {
      this.#attempt(step, event, times, {
        attempt: event.tries,
        reason: outcome.kind === "failed" ? (reason ?? statusName(outcome.status)) : undefined,
      });
    }
    const result = resultOfStep(outcome);
    const startMs = Math.min(step.firstRunnableAt ?? event.at, times?.startedAt ?? event.at);
    const details: SpanDetails = {
      name: event.name,
      startMs,
      endMs: event.at,
      error: outcome.kind === "failed" ? (reason ?? statusName(outcome.status)) : undefined,
      attributes: {
        ...taskOf(event),
        "cicd.pipeline.task.run.result": result,
        "error.type": outcome.kind === "failed" ? statusName(outcome.status) : undefined,
        "hydra.step.tries": event.tries,
        ...machineOf(machine),
      },
    };
    const before = this.#ended.get(event.drv);
    if (before !== undefined) this.#emitStep(before, 0);
    const ended: EndedStep = { step, details, builds: [] };
    this.#ended.set(event.drv, ended);
    // Only the end of a try is said to be recorded.
    if (times === undefined) this.#emitStep(ended, 0);
  }

  #recorded({ drv, at, ms }: StepRecorded): void {
    const ended = this.#ended.get(drv);
    const step = ended?.details === undefined ? this.#steps.get(drv) : ended.step;
    if (step !== undefined) {
      this.#emit(childOf(step.context), step.context, { name: "record", startMs: at - ms, endMs: at });
    }
    if (ended !== undefined) this.#emitStep(ended, at);
  }

  /** `at`: when it was recorded; 0: unknown. */
  #emitStep(ended: EndedStep, at: number): void {
    const { step, details } = ended;
    if (details === undefined) return;
    ended.details = undefined;
    this.#emit(step.context, step.parent, { ...details, endMs: Math.max(details.endMs, at) });
    for (const end of ended.builds) end(at);
  }

  /** The wait for a machine and the try on it. */
  #attempt(
    step: StepTrace,
    event: StepRetried | StepFinished,
    times: EventTimes,
    ending: { readonly attempt: number; readonly reason: string | undefined },
  ): void {
    const { attempt, context, runnableAt } = step;
    if (runnableAt !== undefined && runnableAt <= times.startedAt) {
      this.#emit(childOf(context), context, {
        name: "queue wait",
        startMs: runnableAt,
        endMs: times.startedAt,
      });
    }
    step.runnableAt = undefined;
    const builder = parseTraceparent(event.traceparent);
    const { resources } = event;
    this.#emit(attempt, context, {
      name: "attempt",
      kind: "client",
      startMs: times.startedAt,
      endMs: times.stoppedAt,
      error: ending.reason,
      links: builder === undefined || builder.traceId === attempt.traceId ? [] : [builder],
      attributes: {
        ...taskOf(event),
        ...machineOf(event.machine),
        "hydra.attempt.number": ending.attempt,
        "hydra.attempt.cpu_user_ms": resources?.cpuUserMs,
        "hydra.attempt.cpu_system_ms": resources?.cpuSystemMs,
        "hydra.attempt.peak_memory_bytes": resources?.peakMemoryBytes,
        "hydra.attempt.read_bytes": resources?.readBytes,
        "hydra.attempt.written_bytes": resources?.writtenBytes,
        "hydra.attempt.output_bytes": resources?.outputBytes,
      },
    });
    if (builder === undefined) this.#phases(attempt, times);
  }

  /** What a builder without spans of its own did, as far as its report tells. */
  #phases(attempt: SpanContext, times: EventTimes): void {
    let endMs = times.stoppedAt;
    const phases = [
      ["upload", times.uploadMs],
      ["build", times.buildMs],
      ["inputs", times.importMs],
    ] as const;
    for (const [name, ms] of phases) {
      if (ms === undefined) continue;
      const startMs = Math.max(times.startedAt, endMs - ms);
      this.#emit(childOf(attempt), attempt, { name, startMs, endMs });
      endMs = startMs;
    }
  }

  #uploaded({ drv, paths, stores }: UploadFinished): void {
    const step = drv === undefined ? undefined : (this.#ended.get(drv)?.step ?? this.#steps.get(drv));
    if (step === undefined) return;
    for (const { store, lastTries } of stores) {
      for (const { at, ms, outcome } of lastTries) {
        this.#emit(childOf(step.context), step.context, {
          name: "cache upload",
          kind: "client",
          startMs: at - ms,
          endMs: at,
          error: outcome.kind === "failed" ? outcome.reason : undefined,
          attributes: {
            "hydra.cache": store,
            "hydra.upload.paths": paths.length,
            ...(outcome.kind === "uploaded"
              ? { "hydra.upload.written": outcome.written, "hydra.upload.bytes": outcome.bytes }
              : { "error.type": "upload" }),
          },
        });
      }
    }
  }

  #buildFinished(event: BuildFinished): void {
    const result = resultOfBuild(event.status);
    const name = statusName(event.status);
    const ended = this.#ended.get(event.drv);
    // A step that was built for another build has its span there.
    const step = ended?.step ?? this.#steps.get(event.drv);
    const root = this.#endBuild(event);
    const emit = (recordedAt: number): void =>
      this.#emit(root, undefined, {
        name: `BUILD ${jobOf(event)}`,
        kind: "server",
        startMs: event.queuedAt,
        endMs: Math.max(event.at, recordedAt),
        error: errorOfResult(result, name),
        links: step === undefined || step.context.traceId === root.traceId ? [] : [step.context],
        attributes: {
          ...this.#runOf(event, result),
          "error.type": errorOfResult(result, name),
          "hydra.build.status": event.status,
          "hydra.build.cached": event.cached,
        },
      });
    // The event for the end of its step comes a moment later.
    if (ended?.details === undefined) emit(event.at);
    else ended.builds.push(emit);
  }

  #buildRemoved(event: BuildRemoved): void {
    this.#emit(this.#endBuild(event), undefined, {
      name: `BUILD ${jobOf(event)}`,
      kind: "server",
      startMs: event.queuedAt,
      endMs: event.at,
      attributes: this.#runOf(event, "cancellation"),
    });
  }

  #endBuild(event: BuildFinished | BuildRemoved): SpanContext {
    const root = this.#builds.get(event.build) ?? this.#newRoot(event.build, jobOf(event));
    this.#builds.delete(event.build);
    return root;
  }

  #runOf(event: BuildFinished | BuildRemoved, result: string): Attributes {
    const frontend = this.#options.frontendUrl?.()?.replace(/\/+$/, "");
    return {
      "cicd.pipeline.action.name": "BUILD",
      "cicd.pipeline.name": jobOf(event),
      "cicd.pipeline.run.id": String(event.build),
      "cicd.pipeline.run.url.full": frontend === undefined ? undefined : `${frontend}/build/${event.build}`,
      "cicd.pipeline.result": result,
      "hydra.drv": event.drv,
    };
  }

  /** Undefined when no build wants the step, so that it has no trace to be in. */
  #stepOf(event: EventStep): StepTrace | undefined {
    const { build, project, jobset, job } = event;
    const known = this.#steps.get(event.drv);
    // Between two tries its build may have left, and another one may want it.
    if (known !== undefined && known.build === build) return known;
    if (build === undefined || project === undefined || jobset === undefined || job === undefined) {
      return undefined;
    }
    let parent = this.#builds.get(build);
    if (parent === undefined) {
      parent = this.#newRoot(build, `${project}:${jobset}:${job}`);
      this.#builds.set(build, parent);
    }
    const context = childOf(parent);
    const step: StepTrace = {
      build,
      context,
      parent,
      attempt: childOf(context),
      firstRunnableAt: undefined,
      runnableAt: undefined,
    };
    this.#steps.set(event.drv, step);
    return step;
  }

  #newRoot(build: number, job: string): SpanContext {
    const traceId = traceIdOfBuild(build, job);
    return { traceId, spanId: newSpanId(), sampled: this.#options.sampler(traceId, undefined) };
  }

  #emit(context: SpanContext, parent: SpanContext | undefined, details: SpanDetails): void {
    if (!context.sampled) return;
    const above: ParentContext | undefined = parent && { ...parent, remote: false };
    this.#options.sink(newSpan(context, above, details));
  }
}

function jobOf(build: { readonly project: string; readonly jobset: string; readonly job: string }): string {
  return `${build.project}:${build.jobset}:${build.job}`;
}

function taskOf({ drv, name, system, build }: EventStep): Attributes {
  return {
    "cicd.pipeline.task.name": name,
    "cicd.pipeline.task.run.id": drv,
    "cicd.pipeline.task.type": "build",
    "hydra.system": system,
    "hydra.build.id": build,
  };
}

function machineOf(machine: { readonly id: string; readonly hostname: string } | undefined): Attributes {
  return { "cicd.worker.id": machine?.id, "cicd.worker.name": machine?.hostname };
}
