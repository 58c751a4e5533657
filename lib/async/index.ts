/**
 * Every way of waiting: sleeping, backing off, retrying, bounding how much happens at once, and what is remembered
 * for a while.
 *
 * A leaf: it knows no other room, and nothing of builds, peers or databases. Whatever can wait takes an `AbortSignal`
 * and ends as soon as that aborts. Timers and clocks are looked up on the global object at each use (`setTimeout`,
 * `setImmediate`, `Date.now`, `performance.now`) and never imported, so replacing those puts all of it under virtual
 * time; chance is an argument.
 */

export { Backoff, type BackoffOptions, backoffDelay } from "./backoff.js";
export { BoundedMap, type BoundedMapOptions } from "./bounded-map.js";
export { FairTurns } from "./fair-turns.js";
export { mapLimited } from "./map-limited.js";
export { Microbatch, type MicrobatchOptions } from "./microbatch.js";
export { Mutex } from "./mutex.js";
export { type Retryability, type RetryBudget, type RetryNotice, type RetryOptions, retry } from "./retry.js";
export { Semaphore } from "./semaphore.js";
export { type QuestionOptions, Silence, type SilenceVerdict } from "./silence.js";
export { atMost, pause, type SleepOptions, sleep, turn } from "./sleep.js";
export { TaskGroup } from "./task-group.js";
export { withSignal } from "./with-signal.js";
