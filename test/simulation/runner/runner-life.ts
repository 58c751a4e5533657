/** One life of the runner's process: the real parts, assembled as in production, with simulated edges. */
import type { QueueRunnerConfig } from "../../../lib/config/index.js";
import { Secret } from "../../../lib/config/index.js";
import { toError } from "../../../lib/errors.js";
import { silentLogger } from "../../../lib/log.js";
import { assemble, type RunnerParts } from "../../../lib/runner/assembly.js";
import { giveBack, takeOver } from "../../../lib/runner/attempt/takeover.js";
import type { RunnerEdges } from "../../../lib/runner/outputs/edges.js";
import { createRpcHandlers } from "../../../lib/runner/service/rpc-handlers.js";
import { AttemptIds } from "../../../lib/runner/state/attempt-ids.js";
import { attemptId, machineId, type StepId } from "../../../lib/scheduler/ids.js";
import { ProcessLife } from "../../../lib/testing/simulated/process-life.js";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { defaultConfig, idleEdges } from "../../support/idle-runner.js";
import { type Run, type RunnerSide, supportOf } from "./run.js";
import { checkBuilt } from "./runner-oracle.js";
import type { RunnerWorld } from "./runner-world.js";

/** That of the data folder, which outlives the process. */
const attemptKey = new Uint8Array(32).fill(7);

export class RunnerLife {
  readonly parts: RunnerParts;
  /** Builds that were reported in this life. */
  readonly reported = new Set<string>();
  /** Those of them whose report was accepted. */
  readonly answered = new Set<string>();
  /** Derivations whose outputs it has taken from builders. */
  readonly taken = new Set<string>();
  readonly #world: RunnerWorld;
  readonly #process = new ProcessLife();
  readonly #side: RunnerSide;
  readonly #resting = new AbortController();
  #active = false;
  /** When it became active; milliseconds since the epoch. */
  activeAt = Number.POSITIVE_INFINITY;
  /** Since when a step could have been handed out; milliseconds since the epoch. */
  readonly assignableSince = new Map<StepId, number>();
  /** Since when a build should have been taken in. */
  readonly missingSince = new Map<number, number>();
  failure: Error | undefined;

  constructor(world: RunnerWorld) {
    this.#world = world;
    const { time, plan, lives } = world;
    const store = world.store.connect(this.#process);
    const { database, listener } = world.database.connect(this.#process);
    const random = new SeededRandom(plan.seed ^ (lives * 7919));
    const chance = new SeededRandom(plan.seed ^ (lives * 104_729));
    this.parts = assemble({
      config: () => configOf(plan.maxTries),
      store,
      database,
      listener,
      logger: silentLogger,
      clock: { now: time.now, random: random.next },
      attemptIds: new AttemptIds(attemptKey, (size) =>
        Uint8Array.from({ length: size }, () => chance.int(0, 255)),
      ),
      unprovenBefore: world.unproven.paths,
      unprovenMemory: world.unproven.connect(this.#process, world.disk, time),
      openEdges: () => this.#edges(random),
    });
    // As in production, only shorter: hours of virtual time cost real time.
    this.parts.scheduler.setOptions({
      deadlines: { acknowledgeMs: 30_000, graceMs: 60_000, uploadMs: 120_000, cancelMs: 15_000 },
      breaker: { holdMs: 5_000, maxHoldMs: 30_000, jitterMs: 1_000 },
    });
    this.#side = {
      life: lives,
      handlers: createRpcHandlers({
        ...this.parts,
        logger: silentLogger,
        ownVersion: () => "simulated",
        acceptedVersions: () => [],
        forcedSubstituters: () => [],
        tokensNameHosts: () => false,
      }),
    };
    this.#activate().catch((error: unknown) => {
      this.failure = toError(error);
    });
  }

  /** Where builders join; undefined before the runner is active. */
  get side(): RunnerSide | undefined {
    return this.#active ? this.#side : undefined;
  }

  /** It hands out work. */
  get active(): boolean {
    return this.#active;
  }

  /** Nothing is left to do. */
  get idle(): boolean {
    const { attempts, tasks, scheduler } = this.parts;
    const { builds, steps } = scheduler.view.sizes();
    return this.#active && attempts.size === 0 && tasks.size === 0 && builds === 0 && steps === 0;
  }

  /** Whether the runner still counts on what the machine has in work. */
  knows(run: Pick<Run, "id" | "machine">): boolean {
    return this.parts.attempts.of(machineId(run.machine), attemptId(run.id)) !== undefined;
  }

  /** Whether its attempt is the one that the order was for. One that was adopted since gets a row of its own. */
  isLaunched(run: Pick<Run, "id" | "machine">): boolean {
    const attempt = this.parts.attempts.of(machineId(run.machine), attemptId(run.id));
    return attempt !== undefined && attempt.adopted !== true;
  }

  digest(): string {
    const { scheduler, attempts, registry } = this.parts;
    return JSON.stringify([
      this.#world.database.tables.digest(),
      scheduler.view.attempts(),
      scheduler.view.steps(),
      attempts.size,
      registry.size,
    ]);
  }

  kill(): void {
    this.#active = false;
    this.#process.end();
  }

  /** In order, as `QueueRunner.close` does it, but without waiting for what runs. */
  async stop(): Promise<void> {
    const { dispatcher, monitor, sessions, tasks } = this.parts;
    if (!this.#active) return;
    this.#active = false;
    dispatcher.close();
    await monitor.close();
    await giveBack(this.parts);
    sessions.disconnectAll("the runner is shutting down");
    await tasks.drained(30_000);
  }

  /** The owner lock is lost, as in `QueueRunner`: nothing is written any more, and builders keep what they build. */
  lockLost(): void {
    this.#active = false;
    this.parts.dispatcher.close();
    this.parts.sessions.disconnectAll("this runner does not own the database any more");
  }

  /** No more rounds and passes; what is under way goes on. */
  rest(): void {
    this.parts.dispatcher.close();
    this.#resting.abort();
    void this.parts.monitor.close();
  }

  async #activate(): Promise<void> {
    await takeOver(this.parts, silentLogger);
    this.#active = true;
    this.activeAt = this.#world.time.now();
    this.#world.runnerActive();
    this.parts.monitor.start();
    void this.parts.leftBehind.run(this.#resting.signal);
    this.parts.dispatcher.trigger();
  }

  #edges(random: SeededRandom): RunnerEdges {
    const { time, disk, bucket } = this.#world;
    const slowly = (): Promise<void> =>
      new Promise((resolve) => {
        const long = !this.#world.healed && random.chance(0.05);
        time.after(long ? random.int(1000, 60_000) : random.int(0, 50), () => {
          if (this.#process.alive) resolve();
        });
      });
    return {
      logs: disk.logs((drv, text) => this.#world.watch.onLog(drv, text)),
      uploads: {
        ...idleEdges.uploads,
        publish: async ({ attempt, outputs }) => {
          this.taken.add(attempt.drv);
          disk.check();
          for (const path of outputs.values()) checkBuilt(this.#world, path, "published");
          await slowly();
          await bucket.answers(this.#process);
          for (const path of outputs.values()) this.#world.published.add(path);
        },
        putLog: async () => {
          disk.check();
          await slowly();
        },
      },
      readNixSupport: (_, output) => {
        const planned = this.#world.plan.derivations.get(output.slice(33));
        return Promise.resolve(supportOf(planned?.result === "failsWithOutput"));
      },
    };
  }
}

function configOf(maxTries: number): QueueRunnerConfig {
  return {
    ...defaultConfig(),
    dbUrl: new Secret("simulated"),
    maxRetries: maxTries,
    retryInterval: 5,
    retryBackoff: 2,
    buildTimeout: 120,
    maxSilentTime: 60,
    dispatchTriggerTimerInS: 0,
    queueTriggerTimerInS: 0,
    useSubstitutes: false,
    usePresignedUploads: false,
    overflowStore: undefined,
    machineHeartbeatTimeoutInS: 60,
  };
}
