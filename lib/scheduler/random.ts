/** Chance as an argument: the scheduler draws no random numbers of its own. */

/** Source of randomness: a number uniform in [0, 1), as `Math.random` gives it. */
export type Random = () => number;
