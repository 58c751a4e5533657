/** How the end of one build is classed for the report to the runner. */
import { HydraError } from "../../errors.js";
import { machineTroubleIn } from "../../nix/daemon/machine-trouble.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuildResult, BuildStatus } from "../../nix/store/store.js";
import type { BuildState, FailureCause } from "../../rpc/types.js";
import { errorReport, reportText } from "./error-text.js";
import { causeOf } from "./failure-cause.js";

/** The ways in which a build does not succeed, as the wire names them. */
export type FailureState = Exclude<BuildState, "success">;

/** A build that did not succeed; `code` decides what is reported to the runner, with the message as its text. */
export class BuildFailure extends HydraError {
  readonly code: FailureState;
  /** What is reported beside the state; undefined for failures that are final. */
  readonly reported: FailureCause | undefined;

  constructor(
    code: FailureState,
    message: string,
    options?: { readonly cause?: unknown; readonly reported?: FailureCause | undefined },
  ) {
    super(message, options);
    this.code = code;
    this.reported = options?.reported;
  }
}

/** The failure a phase ends with when something unforeseen is thrown in it. */
export function failureFrom(thrown: unknown, code: FailureState, what: string): BuildFailure {
  if (thrown instanceof BuildFailure) return thrown;
  const reported = causeOf(thrown, code === "importFailure" ? "inputs" : "other");
  return new BuildFailure(code, `${what}: ${errorReport(thrown)}`, { cause: thrown, reported });
}

type FailedStatus = Exclude<BuildStatus, "built" | "substituted" | "alreadyValid" | "resolvesToAlreadyValid">;

/**
 * What a daemon's result means. What the derivation itself brought about is a failure of the build, also where Nix calls
 * it transient: a download that may work another time. Trouble around it (no substitutes, a missing input, features or
 * slots that the daemon lacks) is to be tried again.
 */
const failureStates: Readonly<Record<FailedStatus, FailureState>> = {
  permanentFailure: "buildFailure",
  inputRejected: "buildFailure",
  outputRejected: "buildFailure",
  notDeterministic: "buildFailure",
  transientFailure: "buildFailure",
  timedOut: "timedOut",
  logLimitExceeded: "logLimit",
  cachedFailure: "preparingFailure",
  miscFailure: "preparingFailure",
  dependencyFailed: "preparingFailure",
  noSubstituters: "preparingFailure",
};

/** Results with which Nix also reports that the machine could not do its part; its text tells. */
const mayBeTrouble: ReadonlySet<FailedStatus> = new Set([
  "inputRejected",
  "transientFailure",
  "miscFailure",
  "dependencyFailed",
  "noSubstituters",
]);

/** Outputs that refer to each other: the derivation's fault, although old versions of Nix do not say so. */
const outputCircle = /^cycle detected in (?:build of|the references of)/;

const words: Readonly<Record<FailedStatus, string>> = {
  permanentFailure: "failed",
  inputRejected: "has an input that Nix rejected",
  outputRejected: "produced an output that Nix rejected",
  notDeterministic: "is not deterministic",
  timedOut: "timed out",
  logLimitExceeded: "wrote more log than allowed",
  transientFailure: "failed for a reason that may pass",
  cachedFailure: "failed before, says the daemon",
  miscFailure: "could not be started or finished by the daemon",
  dependencyFailed: "has an input that could not be made",
  noSubstituters: "needs an input that no substituter has",
};

/** The failure of a result; undefined when it is a success. */
export function failureOf(drv: StorePath, { status, errorMessage }: BuildResult): BuildFailure | undefined {
  if (!Object.hasOwn(failureStates, status)) return undefined;
  const failed = status as FailedStatus;
  const isCircle = failed === "miscFailure" && outputCircle.test(errorMessage);
  const trouble = mayBeTrouble.has(failed) && !isCircle ? machineTroubleIn(errorMessage) : undefined;
  const own = isCircle ? "buildFailure" : failureStates[failed];
  const state = trouble === undefined ? own : "preparingFailure";
  // The daemon's words repeat the end of the log, which the runner has already. What is not in a log is kept.
  const reason =
    state === "preparingFailure" || isCircle || failed === "outputRejected" || failed === "inputRejected"
      ? `: ${reportText(errorMessage)}`
      : "; see the log";
  return new BuildFailure(state, `${drv} ${words[failed]}${reason}`, {
    reported: trouble ?? reportedCause(failed, state),
  });
}

function reportedCause(status: FailedStatus, state: FailureState): FailureCause | undefined {
  if (status === "transientFailure") return "transient";
  return state === "preparingFailure" ? "other" : undefined;
}
