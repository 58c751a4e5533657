/**
 * The numbers that Hydra's tables use for results, kinds and phases, by name. Builds and steps share one numbering of
 * results; each side has a few of its own. Hydra's web front-end and its plugins read the same numbers.
 */

/** Results that a build and a step can both have. */
const sharedStatus = {
  succeeded: 0,
  failed: 1,
  /** The infrastructure failed, not the derivation. */
  aborted: 3,
  cancelled: 4,
  /** Took longer than `timeout`, or was silent for longer than `maxsilent`. */
  timedOut: 7,
  /** No machine has the system and the features. */
  unsupported: 9,
  logLimitExceeded: 10,
  narSizeLimitExceeded: 11,
  notDeterministic: 12,
} as const;

/** `builds.buildstatus`. 5 is obsolete, 8 and 13 are for steps only. */
export const buildStatus = {
  ...sharedStatus,
  /** A step that the build needs failed. */
  dependencyFailed: 2,
  /** All outputs exist, but one has `nix-support/failed`. Its step succeeded. */
  failedWithOutput: 6,
} as const;

/** A result of a build that the runner writes. Rows of other programs may hold other numbers. */
export type BuildStatus = (typeof buildStatus)[keyof typeof buildStatus];

/** `buildsteps.status`. Null while the step runs. */
export const stepStatus = {
  ...sharedStatus,
  /** An output is among the failed paths. The build that needs it gets `failed` or `dependencyFailed`, marked cached. */
  cachedFailure: 8,
  /** The derivation was resolved to another one, which `resolveddrvpath` names. */
  resolved: 13,
} as const;

/** A result of a step that the runner writes. Rows of other programs may hold other numbers. */
export type StepStatus = (typeof stepStatus)[keyof typeof stepStatus];

/** Results of builds whose outputs exist. */
export type SuccessStatus = typeof buildStatus.succeeded | typeof buildStatus.failedWithOutput;

/** `buildsteps.type`. */
export const stepType = {
  build: 0,
  /** The outputs were found in the store or came from a substituter. */
  substitution: 1,
} as const;

/** `buildsteps.type` by value. */
export type StepType = (typeof stepType)[keyof typeof stepType];

/** `buildsteps.busy`: what a running step does. The front-end links to the live log from `building` on. */
export const stepBusy = {
  notRunning: 0,
  preparing: 1,
  connecting: 10,
  sendingInputs: 20,
  building: 30,
  waitingForLocalSlot: 35,
  receivingOutputs: 40,
  postProcessing: 50,
} as const;
