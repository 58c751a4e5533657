/** Beginnings and ends of problems, as events. */
import type { EventEmitter } from "../events/index.js";
import type { Problems } from "./problems.js";

/** Emits them until the returned value is disposed of. */
export function announceProblems(problems: Pick<Problems, "subscribe">, events: EventEmitter): Disposable {
  return problems.subscribe(({ kind: change, problem, at }) =>
    events.emit({ type: "problem", at, change, problem }),
  );
}
