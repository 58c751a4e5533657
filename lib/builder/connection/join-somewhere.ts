/** The search for a runner that takes us. */
import { backoffDelay, sleep } from "../../async/index.js";
import { toError } from "../../errors.js";
import type { Logger } from "../../log.js";
import { BuilderError } from "../errors.js";
import type { BuilderClientOptions, RunnerGateway } from "../options.js";

/** Where a runner may be, and how long it is looked for. */
export interface SearchOptions<T>
  extends Pick<BuilderClientOptions, "gateways" | "reconnectTimeoutMs" | "reconnectDelayMs" | "random"> {
  /** One try. A `BuilderError` means that this runner will never take us. */
  readonly joinAt: (gateway: RunnerGateway) => Promise<T>;
  /** Milliseconds, monotonic. */
  readonly clock: () => number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Tries all gateways, again and again, until one has taken us.
 *
 * @throws BuilderError when no runner will ever take us, or none has in time (`runner-lost`); the reason of the signal
 */
export async function joinSomewhere<T>(options: SearchOptions<T>): Promise<T> {
  const { gateways, joinAt, clock, logger, signal } = options;
  const { reconnectTimeoutMs = 600_000, random = Math.random } = options;
  const { first, longest } = options.reconnectDelayMs ?? { first: 500, longest: 5_000 };
  const deadline = clock() + reconnectTimeoutMs;
  for (let failures = 1; ; failures++) {
    const errors: unknown[] = [];
    for (const gateway of gateways) {
      signal.throwIfAborted();
      try {
        return await joinAt(gateway);
      } catch (error) {
        signal.throwIfAborted();
        errors.push(error);
        logger.warn("could not join", { gateway: gateway.address, error });
      }
    }
    const final = errors.find((error) => error instanceof BuilderError);
    if (final !== undefined && errors.every((error) => error instanceof BuilderError)) throw final;
    const delay = backoffDelay(failures, { firstMs: first, longestMs: longest, random });
    if (clock() + delay > deadline) {
      throw new BuilderError("runner-lost", "no runner could be joined", { cause: toError(errors[0]) });
    }
    await sleep(delay, { signal });
  }
}
