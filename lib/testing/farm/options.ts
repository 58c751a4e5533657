/** What a simulated farm is made of. */
import type { QueueRunnerConfigInput } from "../../config/types.js";
import { HydraError } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { RunnerPolicies, RunnerSinks } from "../../runner/index.js";

/** How a simulated build ends. */
export type SimulatedOutcome =
  | { readonly kind: "succeeded" }
  /** The builder exits with an error: the step has failed, and is not tried again. */
  | { readonly kind: "failed" }
  /** The build was stopped for its time. */
  | { readonly kind: "timedOut" }
  /** The machine is at fault: the step is tried again. */
  | { readonly kind: "broken" };

/** One package: a derivation with one output. */
export interface SimulatedPackage {
  /** Names of packages that are built before. Default: none. */
  readonly inputs?: readonly string[] | undefined;
  /** Default `x86_64-linux`. */
  readonly system?: string | undefined;
  /** Features that a machine must have. Default: none. */
  readonly features?: readonly string[] | undefined;
  /** Of virtual time on a machine of speed factor 1; others take it divided by theirs. Default 60,000. */
  readonly durationMs?: number | undefined;
  /** Default: it succeeds. */
  readonly outcome?: SimulatedOutcome["kind"] | undefined;
  /** Chance, from 0 to 1, that one try ends as `broken` instead. Default 0. */
  readonly flaky?: number | undefined;
  /** The output's path follows from its contents, and is known only when it is built. Default false. */
  readonly contentAddressed?: boolean | undefined;
}

/** A build that a simulated machine was given. */
export interface SimulatedJob {
  /** Name of the package. */
  readonly name: string;
  readonly package: SimulatedPackage;
  /** Hostname of the machine. */
  readonly machine: string;
  /** Aborts when the runner does not want the build any more. */
  readonly signal: AbortSignal;
  /** Writes a line of the build's log. */
  readonly log: (line: string) => void;
  /** Uniform in [0, 1), by the seed of the farm. */
  readonly random: () => number;
}

/** A machine of the farm. */
export interface SimulatedMachine {
  readonly hostname: string;
  /** Default `["x86_64-linux"]`. */
  readonly systems?: readonly string[] | undefined;
  /** Default: none. */
  readonly features?: readonly string[] | undefined;
  /** Features that a step must ask for to come here. Default: none. */
  readonly mandatoryFeatures?: readonly string[] | undefined;
  /** Builds at once. Default 1. */
  readonly maxJobs?: number | undefined;
  /** Default 1. */
  readonly speedFactor?: number | undefined;
  /** Default 4. */
  readonly cores?: number | undefined;
  /** Default 4,000. */
  readonly bogomips?: number | undefined;
  /**
   * Carries out a build in place of waiting as long as the package says. It may wait with timers, which are virtual; one
   * that throws has the outcome `broken`.
   */
  readonly build?: ((job: SimulatedJob) => SimulatedOutcome | Promise<SimulatedOutcome>) | undefined;
}

/** Packages, machines, settings and own code of a simulated farm. */
export interface SimulatedFarmOptions
  extends RunnerPolicies,
    Pick<RunnerSinks, "onLog" | "onResult" | "notifier" | "caches"> {
  /** Decides everything that is left to chance: the same seed and the same calls give the same history. Default 1. */
  readonly seed?: number | undefined;
  /** By name. */
  readonly packages: Readonly<Record<string, SimulatedPackage>>;
  /** In the farm from the start. Their hostnames differ. Default: none; see `SimulatedFarm.join`. */
  readonly machines?: readonly SimulatedMachine[] | undefined;
  /**
   * Settings of the runner that concern its decisions: retries, orders, timeouts, machines. Stores in `remoteStoreAddr`,
   * presigned uploads and substitutes are not simulated; `caches` are used as in production.
   */
  readonly config?: QueueRunnerConfigInput | undefined;
  /** Shares by `project:jobset`. Default: 100 for each. */
  readonly shares?: Readonly<Record<string, number>> | undefined;
  /** Virtual milliseconds since the epoch at the begin. Default 1,700,000,000,000. */
  readonly startAt?: number | undefined;
  /** What the runner logs. Default: nothing. */
  readonly logger?: Logger | undefined;
}

/** What a build is queued with. */
export interface SimulatedRequest {
  /** Name of the package. */
  readonly package: string;
  /** `project:jobset`. Default `simulated:main`. */
  readonly jobset?: string | undefined;
  /** Within the jobset, higher first. Default 100. */
  readonly priority?: number | undefined;
  /** Before all else, higher first. Default 0. */
  readonly globalPriority?: number | undefined;
}

/** How far a simulation goes. */
export interface SimulatedRunOptions {
  /** Virtual milliseconds from now, or a condition that is looked at after each event. Default: until the queue is empty. */
  readonly until?: number | (() => boolean) | undefined;
  /** Virtual milliseconds after which the condition is given up. Default 30 days. */
  readonly limitMs?: number | undefined;
}

/** A simulated farm that cannot be, or that does not come to an end. */
export class SimulationError extends HydraError {
  readonly code: "bad-farm" | "no-end" | "busy" | "runner-failed";

  constructor(code: SimulationError["code"], message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
