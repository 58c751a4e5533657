/**
 * What the runner writes: statements and transactions that record steps and builds.
 *
 * Everything works on many rows at once (arrays that the statements unnest), is guarded against doing it twice, and
 * sends its notifications in the same transaction. Nothing here retries; callers do.
 */
export type { BuildEnd, BuildResult } from "./build-rows.js";
export { RecordingError } from "./errors.js";
export { buildThatFailed, hasStepOf, knownStepOutputs } from "./history.js";
export { type Outcome, type OutcomeResult, recordOutcomes } from "./outcomes.js";
export type { SqlSession, TransactionRunner } from "./session.js";
export { recordStarts, type StartedStep } from "./started-steps.js";
export { type DraftResult, insertDrafts, type StepDraft, stepDraft } from "./step-drafts.js";
export { StepNumbers } from "./step-numbers.js";
export { recordStepResources, type StepResourcesRow } from "./step-resources.js";
export {
  busyDerivations,
  clearBusySteps,
  closeOrphan,
  isOrWasRunning,
  type OutputPath,
  type StepEnd,
  type StepKey,
  setBusy,
} from "./step-rows.js";
export { toSeconds } from "./values.js";
