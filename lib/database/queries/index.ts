/**
 * The statements that read, and those by which builds are submitted, cancelled and moved. Loaded with drizzle and the tables by the first query:
 * `HydraDatabase` has a method for each.
 */
export { buildExists, isBuildActive } from "./build-state.js";
export { earlierBuildOfOutputs } from "./earlier-build.js";
export { earlierTries } from "./earlier-tries.js";
export { failedPaths } from "./failed-paths.js";
export { buildHistory } from "./history.js";
export { jobsets, jobsetUsage } from "./jobsets.js";
export { resolveOutputChains } from "./output-chains.js";
export {
  attemptCounts,
  attempts,
  attemptsAt,
  buildErrors,
  buildPage,
  endedSteps,
  findBuilds,
  lastResults,
  stepOutputs,
  stepsOfBuild,
} from "./page-rows.js";
export { bumpBuild, cancelBuild } from "./steer-build.js";
export { allStepDurations, stepDurations } from "./step-durations.js";
export { stepResources } from "./step-resources.js";
export { stepState } from "./step-state.js";
export { submitBuild } from "./submit-build.js";
export { shortBuildDigest, unfinishedBuildDigest, unfinishedBuilds } from "./unfinished-builds.js";
