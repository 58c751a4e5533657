/** Performs what the scheduler asks for. The scheduler's state already is as if it were done. */

import type { TaskGroup } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { AttemptRegistry } from "../state/attempts.js";
import { type DerivationCatalog, drvOf } from "../state/derivation-catalog.js";
import type { EffectPerformer, RunnerEffect } from "../state/running-scheduler.js";
import type { BuilderSessions } from "./builder-sessions.js";
import type { MachineEvents } from "./machine-events.js";
import type { Results } from "./results.js";

/** What effects act on. */
export interface EffectsOptions {
  readonly attempts: AttemptRegistry;
  readonly sessions: BuilderSessions;
  readonly results: Results;
  readonly machineEvents: MachineEvents;
  readonly catalog: DerivationCatalog;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
}

/** Sends aborts, closes tunnels and records what ended without a report. */
export class Effects implements EffectPerformer {
  readonly #attempts: AttemptRegistry;
  readonly #sessions: BuilderSessions;
  readonly #results: Results;
  readonly #machineEvents: MachineEvents;
  readonly #catalog: DerivationCatalog;
  readonly #tasks: TaskGroup;
  readonly #logger: Logger;

  constructor(options: EffectsOptions) {
    this.#attempts = options.attempts;
    this.#sessions = options.sessions;
    this.#results = options.results;
    this.#machineEvents = options.machineEvents;
    this.#catalog = options.catalog;
    this.#tasks = options.tasks;
    this.#logger = options.logger;
  }

  perform(effect: RunnerEffect): void {
    switch (effect.kind) {
      case "abortAttempt": {
        const attempt = this.#attempts.get(effect.attempt);
        this.#sessions.send(effect.machine, { kind: "abort", buildId: effect.attempt });
        if (attempt !== undefined) this.#tasks.start(() => this.#results.end(attempt, { kind: "cancelled" }));
        break;
      }
      case "attemptEnded":
        if (effect.abort) this.#sessions.send(effect.machine, { kind: "abort", buildId: effect.attempt });
        this.#logger.debug("attempt ended without a report", {
          cause: effect.cause,
          drv: this.#attempts.get(effect.attempt)?.drv,
          machine: effect.machine,
        });
        this.#tasks.start(() => this.#results.ended(effect.attempt, effect.completion));
        break;
      case "machineLost":
        this.#machineEvents.left(effect.machine, effect.reason);
        this.#sessions.disconnect(effect.machine, `the runner gave the machine up: ${effect.reason}`);
        break;
      case "stepUnsupported":
        this.#tasks.start(async () => {
          const { system } = await this.#catalog.facts(drvOf(effect.completion.step));
          await this.#results.unsupported(effect.completion, system);
        });
        break;
    }
  }
}
