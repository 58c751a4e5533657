/** Carries out what the scheduler asks for. The scheduler's state already is as if it were done. */

import type { TaskGroup } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { Effect, FailedCompletion } from "../../scheduler/types.js";
import type { AttemptRegistry } from "../state/attempts.js";
import type { RunnerCounters } from "../state/counters.js";
import type { BuilderSessions } from "./builder-sessions.js";
import type { Results } from "./results.js";

export interface EffectsOptions {
  readonly attempts: AttemptRegistry;
  readonly sessions: () => BuilderSessions;
  readonly results: Results;
  readonly counters: RunnerCounters;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
  readonly systemOf: (completion: FailedCompletion) => Promise<string>;
}

export function createEffects(options: EffectsOptions): (effects: readonly Effect[]) => void {
  const { attempts, sessions, results, counters, tasks, logger, systemOf } = options;
  return (effects) => {
    for (const effect of effects) {
      switch (effect.kind) {
        case "abortAttempt": {
          const attempt = attempts.get(effect.attempt);
          sessions().send(effect.machine, { kind: "abort", buildId: effect.attempt });
          counters.metrics.add("abortedJobs");
          if (attempt !== undefined) tasks.start(() => results.end(attempt, { kind: "cancelled" }));
          break;
        }
        case "attemptEnded": {
          if (effect.abort) sessions().send(effect.machine, { kind: "abort", buildId: effect.attempt });
          logger.warn("attempt ended without a report", {
            cause: effect.cause,
            attempt: effect.attempt,
            machine: effect.machine,
          });
          tasks.start(() => results.ended(effect.attempt, effect.completion));
          break;
        }
        case "machineLost":
          counters.metrics.add("machinesLost");
          counters.machineLeft(effect.machine);
          sessions().disconnect(effect.machine, `the runner gave the machine up: ${effect.reason}`);
          break;
        case "stepUnsupported":
          counters.metrics.add("unsupportedStepsAborted");
          tasks.start(async () => results.unsupported(effect.completion, await systemOf(effect.completion)));
          break;
      }
    }
  };
}
