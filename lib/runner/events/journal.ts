/**
 * The runner's journal: one log line for each thing that happens, made from its event. Lines about a build, step or
 * machine have the same fields: `build`, `job` (`project:jobset:job`), `drv`, `machine`, `try`.
 */
import type { LogFields, Logger } from "../../log.js";
import type { EventBus } from "./event-bus.js";
import type {
  EventBuild,
  EventStep,
  EventTimes,
  MachineHeld,
  ProblemChanged,
  StepFinished,
  StepResources,
  StepRetried,
  StepStarted,
  UploadFinished,
  UploadRetried,
} from "./runner-events.js";

/** Writes the journal of a runner for as long as it lasts. */
export function writeJournal(events: Pick<EventBus, "on">, logger: Logger): void {
  events.on("stepStarted", (event) => logger.info("step started", startOf(event)));
  events.on("stepProgress", ({ phase, machine, try: number, ...step }) =>
    logger.debug("step is under way", { ...about(step), machine: machine.hostname, try: number, phase }),
  );
  events.on("stepFinished", (event) => writeEnd(event, logger));
  events.on("stepRetried", (event) => logger.warn("step is tried again", retryOf(event)));
  events.on("buildStarted", (event) => logger.debug("build started", aboutBuild(event)));
  events.on("buildFinished", ({ status, durationMs, cached, machine, ...build }) =>
    logger.info("build finished", { ...aboutBuild(build), machine, status, durationMs, cached }),
  );
  events.on("buildRemoved", (event) =>
    logger.info("build left the queue without a result", aboutBuild(event)),
  );
  events.on("machineJoined", ({ machine, systems, maxJobs, running, peer }) =>
    logger.info("machine joined", {
      machine: machine.hostname,
      id: machine.id,
      systems: systems.join(","),
      maxJobs,
      running,
      peer,
    }),
  );
  events.on("machineLeft", ({ machine, reason, peer }) =>
    logger.info("machine left", { machine: machine.hostname, id: machine.id, reason, peer }),
  );
  events.on("machineHeld", (event) =>
    logger.warn("machine is held: it gets no work for a while", holdOf(event)),
  );
  events.on("machineReleased", ({ machine, because }) =>
    logger.info("machine is released", { machine: machine.hostname, because }),
  );
  const uploads = new UploadLines(logger);
  events.on("uploadRetried", (event) => uploads.retried(event));
  events.on("uploadFinished", (event) => uploads.finished(event));
  events.on("problem", (event) => {
    writeProblem(event, logger);
    if (event.change === "ended" && event.problem.code === "upload-failing")
      uploads.works(event.problem.subject);
  });
}

function about({ build, project, jobset, job, drv }: EventStep): LogFields {
  return { build, job: job === undefined ? undefined : `${project}:${jobset}:${job}`, drv };
}

function aboutBuild({ build, project, jobset, job, drv }: EventBuild): LogFields {
  return { build, job: `${project}:${jobset}:${job}`, drv };
}

function startOf({ machine, try: number, waitedMs, adopted, ...step }: StepStarted): LogFields {
  return {
    ...about(step),
    machine: machine.hostname,
    try: number,
    system: step.system,
    waitedMs,
    adopted: adopted || undefined,
  };
}

function writeEnd(event: StepFinished, logger: Logger): void {
  const { outcome, machine, tries, times, resources, reason } = event;
  const fields = {
    ...about(event),
    machine: machine?.hostname,
    try: tries,
    reason,
    ...timesOf(times),
    ...resourcesOf(resources),
  };
  switch (outcome.kind) {
    case "succeeded":
      logger.info("step succeeded", fields);
      break;
    case "failed":
      logger.info("step failed", { ...fields, status: outcome.status, builds: outcome.builds });
      break;
    case "cancelled":
      logger.info("step cancelled", { ...fields, wantedAgain: outcome.wantedAgain });
      break;
  }
}

function retryOf({ machine, try: number, reason, retryAt, counts, times, resources, ...step }: StepRetried) {
  return {
    ...about(step),
    machine: machine.hostname,
    try: number,
    reason,
    notBefore: time(retryAt),
    counts,
    ...timesOf(times),
    ...resourcesOf(resources),
  };
}

function timesOf(times: EventTimes | undefined): LogFields {
  if (times === undefined) return {};
  const { startedAt, stoppedAt, importMs, buildMs, uploadMs } = times;
  return { durationMs: Math.max(0, stoppedAt - startedAt), importMs, buildMs, uploadMs };
}

function resourcesOf(resources: StepResources | undefined): LogFields {
  if (resources === undefined) return {};
  const { source, ...measured } = resources;
  return { ...measured, measuredBy: source };
}

function holdOf({ machine, fault, reason, drv, failures, until }: MachineHeld): LogFields {
  return { machine: machine.hostname, fault, reason, drv, failures, until: time(until) };
}

function writeProblem({ change, problem, at }: ProblemChanged, logger: Logger): void {
  const { part, code, reason, advice, since } = problem;
  const subject = problem.subject === "" ? undefined : problem.subject;
  if (change === "began") logger.warn("problem", { part, code, subject, reason, advice });
  else logger.info("problem is over", { part, code, subject, lastedMs: Math.max(0, at - since) });
}

/** An outage of a store fails every upload: its first failure and its end are said, the rest is counted. */
class UploadLines {
  readonly #logger: Logger;
  /** Failed tries since the last that worked, by store. */
  readonly #failed = new Map<string, number>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  retried({ store, paths, drv, ms, reason }: UploadRetried): void {
    const failed = this.#failed.get(store) ?? 0;
    this.#failed.set(store, failed + 1);
    const level = failed === 0 ? "warn" : "debug";
    this.#logger[level]("upload failed; it is tried again", {
      store,
      paths: paths.length,
      path: paths[0],
      drv,
      ms,
      reason,
    });
  }

  finished({ paths, drv, stores }: UploadFinished): void {
    for (const { store, tries, lastTries } of stores) {
      const last = lastTries.at(-1);
      if (last === undefined) continue;
      const fields = { store, paths: paths.length, path: paths[0], drv, ms: last.ms, tries };
      switch (last.outcome.kind) {
        case "uploaded": {
          const { written, bytes } = last.outcome;
          this.#logger.debug("upload finished", { ...fields, written, bytes });
          this.works(store);
          break;
        }
        case "failed":
          // The queue says it as an error, with all paths.
          this.#logger.debug("upload failed permanently", { ...fields, reason: last.outcome.reason });
          break;
      }
    }
  }

  /** The store takes uploads again, also when that which was tried is not in all its stores yet. */
  works(store: string): void {
    const failed = this.#failed.get(store) ?? 0;
    this.#failed.delete(store);
    if (failed > 0) this.#logger.info("uploads work again", { store, failed });
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
