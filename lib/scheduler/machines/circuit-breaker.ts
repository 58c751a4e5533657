/**
 * Takes a machine out of service when infrastructure failures repeat there.
 *
 * Closed: counts failures of different steps in a row. At the limit it opens: the machine is held. After the hold it
 * is half-open: one job at a time, whose failure holds it longer and whose success closes the breaker.
 */

import type { StepId } from "../ids.js";
import type { BreakerOptions } from "../options.js";
import type { Random } from "../random.js";

/** The breaker of one host. Times are in milliseconds since the epoch. */
export class CircuitBreaker {
  consecutiveFailures = 0;
  lastFailure = 0;
  heldUntil = 0;
  #trips = 0;
  #lastStep: StepId | undefined;

  /** True while only one job at a time is let through. */
  probing(now: number): boolean {
    return this.#trips > 0 && now >= this.heldUntil;
  }

  held(now: number): boolean {
    return now < this.heldUntil;
  }

  /** True when the machine was put on hold by this failure. `step` is undefined when the machine itself was lost. */
  failed(step: StepId | undefined, options: BreakerOptions, now: number, random: Random): boolean {
    this.lastFailure = now;
    if (this.held(now)) return false;
    // One step that fails everywhere says nothing about the machine.
    if (step !== undefined && step === this.#lastStep && this.#trips === 0) return false;
    this.#lastStep = step;
    this.consecutiveFailures++;
    if (this.#trips === 0 && this.consecutiveFailures < options.failures) return false;
    const hold = Math.min(options.maxHoldMs, options.holdMs * options.backoff ** this.#trips);
    this.#trips++;
    this.heldUntil = Math.trunc(now + hold + random() * options.jitterMs);
    return true;
  }

  succeeded(): void {
    this.consecutiveFailures = 0;
    this.#trips = 0;
    this.heldUntil = 0;
    this.#lastStep = undefined;
  }
}
