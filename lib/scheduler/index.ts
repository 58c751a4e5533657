/**
 * The pure heart: what to build next, and where.
 *
 * In this room live the step graph, priorities and shares, the queues, the machine pool and the retry policy. No I/O,
 * no clock, no randomness, no timers; nothing outside this room is imported but brands and the root of the errors.
 */
export * from "./api.js";
export * from "./errors.js";
export * from "./ids.js";
export { JobsetShares } from "./jobset-shares.js";
export { dynamicFree, dynamicWithMaxJobLimit, staticFree } from "./machine-free.js";
export { bogomipsWithSpeedFactor, cpuCoreCountWithSpeedFactor, speedFactorOnly } from "./machine-order.js";
export { MachinePool } from "./machine-pool.js";
export * from "./machine-types.js";
export * from "./options.js";
export { RetryPolicy } from "./retry-policy.js";
export { Scheduler } from "./scheduler.js";
export { legacy, type StepOrder, stepOrder, withCriticalPath, withRdeps } from "./step-order.js";
export * from "./types.js";
export * from "./views.js";
