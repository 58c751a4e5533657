/** One life of the runner's process in a simulated farm: the real parts, assembled as in production, with simulated edges. */

import type { BinaryCache } from "../../binary-cache/index.js";
import type { QueueRunnerConfig } from "../../config/types.js";
import type { Logger } from "../../log.js";
import { silentLogger } from "../../log.js";
import type { StorePath } from "../../nix/index.js";
import type { RunnerServiceHandlers } from "../../rpc/index.js";
import { assemble, type RunnerParts } from "../../runner/assembly.js";
import { takeOver } from "../../runner/attempt/takeover.js";
import { runnerEventNames } from "../../runner/events/event-names.js";
import { EventBus, type EventEmitter, type RunnerEvent } from "../../runner/events/index.js";
import type { EdgesOptions, RunnerEdges } from "../../runner/outputs/edges.js";
import { Uploads } from "../../runner/outputs/uploads/uploads.js";
import type { RunnerPolicies } from "../../runner/policies.js";
import { createRpcHandlers } from "../../runner/service/rpc-handlers.js";
import type { RunnerSinks } from "../../runner/sinks.js";
import { AttemptIds } from "../../runner/state/attempt-ids.js";
import { idleEdges } from "../simulated/idle-edges.js";
import type { MemoryJournal } from "../simulated/memory-journal.js";
import { ProcessLife } from "../simulated/process-life.js";
import { SeededRandom } from "../simulated/seeded-random.js";
import type { SimulatedDatabase } from "../simulated/simulated-database.js";
import type { SimulatedStore } from "../simulated/simulated-store.js";

/** What the runner stands on, and what the user of the farm gave for it. */
export interface FarmRunnerOptions {
  readonly config: QueueRunnerConfig;
  readonly database: SimulatedDatabase;
  readonly store: SimulatedStore;
  readonly now: () => number;
  readonly seed: number;
  readonly policies: RunnerPolicies;
  readonly onLog: RunnerSinks["onLog"];
  /** Where outputs go. */
  readonly caches: readonly BinaryCache[];
  /** Outlives the process. */
  readonly journal: MemoryJournal;
  /** Hears of what happens as long as the process lives. */
  readonly events: EventEmitter;
  readonly logger: Logger;
}

/** Of the data folder, which outlives the process. */
const attemptKey = new Uint8Array(32).fill(7);

/** The process from its start to its death. */
export class FarmRunner {
  readonly #parts: RunnerParts;
  readonly #life = new ProcessLife();
  readonly #dead = new AbortController();
  readonly #handlers: RunnerServiceHandlers;
  #active = false;
  /** Transactions whose answer has not come. */
  #recording = 0;

  constructor(options: FarmRunnerOptions) {
    const { config, database, store, now, seed, policies, onLog, caches, journal, events, logger } = options;
    const random = new SeededRandom(seed);
    const chance = new SeededRandom(seed ^ 0x1d5);
    const { database: rows, listener } = database.connect(this.#life);
    const bus = new EventBus(logger);
    for (const name of runnerEventNames) {
      bus.on(name, (event: RunnerEvent) => {
        if (this.#life.alive) events.emit(event);
      });
    }
    this.#parts = assemble({
      config: () => config,
      store: store.connect(this.#life),
      database: { ...rows, transaction: (work) => this.#record(rows.transaction(work)) },
      listener,
      closing: this.#dead.signal,
      stopped: this.#dead.signal,
      logger,
      clock: { now, random: random.next },
      attemptIds: new AttemptIds(attemptKey, (size) =>
        Uint8Array.from({ length: size }, () => chance.int(0, 255)),
      ),
      policies,
      events: bus,
      caches,
      openEdges: (edges) => ({
        ...idleEdges,
        uploads: caches.length === 0 ? idleEdges.uploads : uploadsInMemory(edges, journal),
        logs: memoryLogs,
        readNixSupport: async () => ({ failed: false, releaseName: undefined, products: [], metrics: [] }),
      }),
    });
    this.#handlers = createRpcHandlers({
      ...this.#parts,
      logger,
      onLog,
      ownVersion: () => "simulated",
      acceptedVersions: () => [],
      forcedSubstituters: () => [],
      tokensNameHosts: () => false,
    });
  }

  /** Where builders join; undefined while it does not work. */
  get handlers(): RunnerServiceHandlers | undefined {
    return this.#active ? this.#handlers : undefined;
  }

  /** It works, and nothing is left to do. */
  get idle(): boolean {
    const { attempts, tasks, scheduler, uploads } = this.#parts;
    const { builds, steps } = scheduler.view.sizes();
    return (
      this.#active &&
      this.#recording === 0 &&
      attempts.size === 0 &&
      uploads.pendingCount() === 0 &&
      tasks.size === 0 &&
      builds === 0 &&
      steps === 0
    );
  }

  /** Tidies up after its predecessor and begins to work. */
  async start(): Promise<void> {
    const { uploads } = this.#parts;
    await uploads.open({ stores: [], overflow: undefined });
    await takeOver(this.#parts, silentLogger);
    await uploads.start();
    this.#active = true;
    this.#parts.monitor.start();
    void this.#parts.leftBehind.run(this.#dead.signal);
    this.#parts.dispatcher.trigger();
  }

  async #record<T>(answer: Promise<T>): Promise<T> {
    this.#recording++;
    try {
      return await answer;
    } finally {
      this.#recording--;
    }
  }

  /** The process is gone, from one moment to the next. */
  kill(): void {
    this.#active = false;
    this.#life.end();
    this.#dead.abort(new Error("the process is dead"));
    this.#parts.dispatcher.close();
    void this.#parts.monitor.close();
    void this.#parts.uploads.close();
  }
}

/** The uploads of production, without files. */
function uploadsInMemory(edges: EdgesOptions, journal: MemoryJournal): Uploads {
  return new Uploads({
    ...edges,
    logs: memoryLogs,
    roots: { add: async () => {} },
    concurrency: () => Math.max(1, edges.config().concurrentUploadLimit),
    journalFolder: "/simulated",
    journal,
  });
}

/** Logs that are received and not kept. */
const memoryLogs: RunnerEdges["logs"] = {
  ...idleEdges.logs,
  create: async (drv: StorePath) => ({
    path: drv,
    maxBytes: Number.MAX_SAFE_INTEGER,
    write: async () => {},
    close: async () => {},
  }),
};
