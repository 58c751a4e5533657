/** Hydra's tables as drizzle knows them. Property names are ours, column names are Hydra's. */
export * from "./bookkeeping.js";
export * from "./builds.js";
export * from "./cached-inputs.js";
export * from "./evaluations.js";
export * from "./jobsets.js";
export * from "./projects.js";
export * from "./steps.js";
export * from "./users.js";
