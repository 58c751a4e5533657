/**
 * Every way of waiting: sleeping, backing off, retrying, bounding how much happens at once, and what is remembered
 * for a while.
 *
 * A leaf: it knows no other room, and nothing of builds, peers or databases. Whatever can wait takes an `AbortSignal`
 * and ends as soon as that aborts. Timers and clocks are looked up on the global object at each use (`setTimeout`,
 * `setImmediate`, `Date.now`, `performance.now`) and never imported, so replacing those puts all of it under virtual
 * time; chance is an argument.
 */

/** Pauses between tries, growing, with jitter. */
export { Backoff, type BackoffOptions, backoffDelay } from "./backoff.js";
/** A map that cannot grow without bound; entries may expire. */
export { BoundedMap, type BoundedMapOptions } from "./bounded-map.js";
/** Work in bursts, a little per turn of the event loop: in rotation between its causes, or in order of asking. */
export { FairTurns, TurnShare } from "./fair-turns.js";
/** Values that are made at their first use, and made again after a failure. */
export { MadeOnce } from "./made-once.js";
/** Maps with a limit on how much happens at once; the first error stops it. */
export { mapLimited } from "./map-limited.js";
/** What is added while one batch is under way becomes the next batch. */
export { Microbatch, type MicrobatchOptions } from "./microbatch.js";
/** One at a time, in order of asking. */
export { Mutex } from "./mutex.js";
/** Repeats work until it succeeds, its error is final or its budget is spent. */
export { type Retryability, type RetryBudget, type RetryNotice, type RetryOptions, retry } from "./retry.js";
/** A number of permits, given in order of asking. */
export { Semaphore } from "./semaphore.js";
/** Since when a peer has not answered, for those who must not ask it for anything meanwhile. */
export { type QuestionOptions, Silence, type SilenceVerdict } from "./silence.js";
/** Waiting for time or for the event loop, and for work no longer than some time. */
export { atMost, pause, type SleepOptions, sleep, turn } from "./sleep.js";
/** Background work that has to be waited for at the end. */
export { TaskGroup } from "./task-group.js";
/** Waits for space, file descriptors or memory that the system lacks for a while. */
export { type ShortageOptions, whenDescriptorsAreFree, whenThereIsRoom } from "./when-there-is-room.js";
/** A promise that rejects when a signal aborts. */
export { withSignal } from "./with-signal.js";
