/**
 * The pure heart: what to build next, and where.
 *
 * In this room live the step graph, priorities and shares, the queues, the machine pool and the retry policy. No I/O,
 * no clock, no randomness, no timers; nothing outside this room is imported but brands and the root of the errors.
 */
export * from "./api.js";
export * from "./errors.js";
export * from "./ids.js";
export { dynamicFree, dynamicWithMaxJobLimit, staticFree } from "./machines/machine-free.js";
export {
  bogomipsWithSpeedFactor,
  cpuCoreCountWithSpeedFactor,
  speedFactorOnly,
} from "./machines/machine-order.js";
export { MachinePool } from "./machines/machine-pool.js";
export * from "./machines/machine-types.js";
export * from "./options.js";
export { JobsetShares } from "./queue/jobset-shares.js";
export { legacy, type StepOrder, stepOrder, withCriticalPath, withRdeps } from "./queue/step-order.js";
export { RetryPolicy } from "./retry-policy.js";
export { Scheduler } from "./scheduler.js";
export * from "./types.js";
export * from "./views.js";
