/**
 * Takes a machine out of service when its faults repeat.
 *
 * Closed: counts faults in a row, each step once. At the limit it opens: the machine is held. After the hold the machine
 * is on trial, whose failure holds it longer and whose success closes the breaker. What counts as a fault, and that the
 * only machine for something is treated with more patience, is decided by the callers.
 */

import type { StepId } from "../ids.js";
import type { BreakerOptions } from "../options.js";
import type { Random } from "../random.js";
import type { MachineFault } from "./machine-fault.js";

/** A fault of a machine as it was seen. */
export interface SeenFault {
  readonly fault: MachineFault;
  readonly reason: string;
  /** The step that saw it; undefined when the machine itself was lost. */
  readonly step: StepId | undefined;
}

/** What a breaker does with a fault: `count` it only, or also hold the machine, `briefly` never beyond the first hold. */
export type Severity = "count" | "hold" | "holdBriefly";

/** The breaker of one host; it outlives the connection. Times are in milliseconds since the epoch. */
export class CircuitBreaker {
  lastFailure = 0;
  heldUntil = 0;
  /** The fault that led to the latest hold. */
  cause: SeenFault | undefined;
  /** Steps whose failures count. */
  readonly #suspectedBy = new Set<StepId>();
  #losses = 0;
  #trips = 0;

  /** Faults in a row. */
  get consecutiveFailures(): number {
    return this.#suspectedBy.size + this.#losses;
  }

  /** Held, or on trial after it. */
  get tripped(): boolean {
    return this.#trips > 0;
  }

  held(now: number): boolean {
    return now < this.heldUntil;
  }

  /** True when the machine was put on hold by this fault. */
  failed(seen: SeenFault, severity: Severity, options: BreakerOptions, now: number, random: Random): boolean {
    this.lastFailure = now;
    if (this.held(now)) return false;
    if (seen.step === undefined) this.#losses++;
    else this.#suspectedBy.add(seen.step);
    if (severity === "count") return false;
    if (this.#trips === 0 && this.consecutiveFailures < options.failures) return false;
    const longest = severity === "hold" ? options.maxHoldMs : options.holdMs;
    const hold = Math.min(longest, options.holdMs * options.backoff ** this.#trips);
    this.#trips++;
    this.cause = seen;
    this.heldUntil = Math.trunc(now + hold + random() * options.jitterMs);
    return true;
  }

  /** The failure of this step does not count any more. True when what remains is not enough for the present hold. */
  acquit(step: StepId, options: BreakerOptions): boolean {
    if (!this.#suspectedBy.delete(step)) return false;
    if (this.#trips === 0 || this.consecutiveFailures >= options.failures) return false;
    this.#trips = 0;
    this.heldUntil = 0;
    return true;
  }

  /** The hold ends at `until` at the latest. */
  shorten(until: number): void {
    this.heldUntil = Math.min(this.heldUntil, until);
  }

  /** Closes: all is forgotten. */
  succeeded(): void {
    this.#suspectedBy.clear();
    this.#losses = 0;
    this.#trips = 0;
    this.heldUntil = 0;
  }
}
