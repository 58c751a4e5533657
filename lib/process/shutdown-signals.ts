/** The two steps of stopping: the first SIGTERM or SIGINT asks for it, the second one insists. */
import { constants } from "node:os";

/** Abort signals for the two steps of stopping. */
export interface ShutdownSignals extends Disposable {
  /** Aborted by the first SIGTERM or SIGINT, with the signal's name as reason: end in order. */
  readonly first: AbortSignal;
  /** Aborted by the next one: end now, without waiting for work under way. */
  readonly second: AbortSignal;
}

const names = ["SIGTERM", "SIGINT"] as const;

/**
 * Listens for SIGTERM and SIGINT until it is disposed of. A third signal ends the process at once with 128 + its
 * number, so that a stop which hangs can be broken off from a terminal.
 */
export function shutdownSignals(): ShutdownSignals {
  const first = new AbortController();
  const second = new AbortController();
  const onSignal = (name: (typeof names)[number]): void => {
    if (!first.signal.aborted) first.abort(name);
    else if (!second.signal.aborted) second.abort(name);
    else process.exit(128 + constants.signals[name]);
  };
  for (const name of names) process.on(name, onSignal);
  return {
    first: first.signal,
    second: second.signal,
    [Symbol.dispose]: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}
