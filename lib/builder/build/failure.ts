/** How the end of one build is classed for the report to the runner. */
import { HydraError } from "../../errors.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuildResult, BuildStatus } from "../../nix/store/store.js";
import type { BuildState } from "../../rpc/types.js";
import { errorReport, reportText } from "./error-text.js";

/** The ways in which a build does not succeed, as the wire names them. */
export type FailureState = Exclude<BuildState, "success">;

/** A build that did not succeed; `code` decides what is reported to the runner, with the message as its text. */
export class BuildFailure extends HydraError {
  readonly code: FailureState;

  constructor(code: FailureState, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /** The failure a phase ends with when something unforeseen is thrown in it. */
  static from(thrown: unknown, code: FailureState, what: string): BuildFailure {
    return thrown instanceof BuildFailure
      ? thrown
      : new BuildFailure(code, `${what}: ${errorReport(thrown)}`, { cause: thrown });
  }
}

/**
 * What a daemon's result means. Only what the derivation itself brought about is a permanent failure; trouble of the
 * machine (no substitutes, a missing input, features or slots that the daemon lacks) is to be tried again.
 */
const failureStates: Readonly<
  Record<
    Exclude<BuildStatus, "built" | "substituted" | "alreadyValid" | "resolvesToAlreadyValid">,
    FailureState
  >
> = {
  permanentFailure: "buildFailure",
  inputRejected: "buildFailure",
  outputRejected: "buildFailure",
  notDeterministic: "buildFailure",
  timedOut: "timedOut",
  logLimitExceeded: "logLimit",
  transientFailure: "preparingFailure",
  cachedFailure: "preparingFailure",
  miscFailure: "preparingFailure",
  dependencyFailed: "preparingFailure",
  noSubstituters: "preparingFailure",
};

const words: Readonly<Record<keyof typeof failureStates, string>> = {
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
export function failureOf(drv: StorePath, result: BuildResult): BuildFailure | undefined {
  const { status } = result;
  if (!Object.hasOwn(failureStates, status)) return undefined;
  const failed = status as keyof typeof failureStates;
  const state = failureStates[failed];
  // The daemon's words repeat the end of the log, which the runner has already. What is not in a log is kept.
  const reason =
    state === "preparingFailure" || failed === "outputRejected" || failed === "inputRejected"
      ? `: ${reportText(result.errorMessage)}`
      : "; see the log";
  return new BuildFailure(state, `${drv} ${words[failed]}${reason}`);
}
