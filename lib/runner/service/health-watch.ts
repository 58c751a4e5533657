/** Watches the runner and its surroundings, so that what does not work is a problem within five seconds. */
import { pause } from "../../async/index.js";
import { DatabaseProbe } from "../../database/database-probe.js";
import type { HydraDatabase } from "../../database/hydra-database.js";
import type { Listener } from "../../database/listener.js";
import type { BuilderSessions } from "../attempt/builder-sessions.js";
import type { QueueMonitor } from "../ingestion/queue-monitor.js";
import type { ProblemCode } from "../state/problem-kinds.js";
import type { Problems, Trouble } from "../state/problems.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { machineTroubles } from "./machine-troubles.js";
import { spaceProbe, storeProbe, writeProbe } from "./probes.js";
import { watch } from "./watch.js";

/** What is watched. */
export interface HealthWatchOptions {
  readonly problems: Problems;
  readonly database: Pick<HydraDatabase, "connect">;
  readonly listener: Pick<Listener, "connected">;
  readonly store: RunnerStore;
  /** Folder of the runner's own files; logs are on the same disk. */
  readonly folder: string;
  readonly monitor: Pick<QueueMonitor, "problem">;
  readonly scheduler: RunningScheduler;
  readonly sessions: Pick<BuilderSessions, "storeTroubles">;
  /** The runner owns the database and works; queue, machines and notifications only count then. */
  readonly active: () => boolean;
}

const intervalMs = 1_000;
/** How long the subscription to notifications may be away, and steps may lack machines, before that is a problem. */
const patienceMs = 3_000;

/** Runs from `start` to `close`. */
export class HealthWatch {
  readonly #options: HealthWatchOptions;
  readonly #database: DatabaseProbe;
  readonly #stop = new AbortController();
  /** When a trouble that may pass by itself was first seen. */
  readonly #seen = new Map<ProblemCode, number>();
  #watches: readonly Promise<void>[] = [];

  constructor(options: HealthWatchOptions) {
    this.#options = options;
    this.#database = new DatabaseProbe(options.database);
  }

  start(): void {
    const { problems, folder, store } = this.#options;
    const { signal } = this.#stop;
    const common = { problems, signal, intervalMs };
    this.#watches = [
      watch({ ...common, code: "database-silent", probe: () => this.#database.ask() }),
      watch({ ...common, code: "store-silent", probe: (end) => storeProbe(store, end) }),
      watch({ ...common, code: "disk-unwritable", subject: folder, probe: () => writeProbe(folder) }),
      watch({ ...common, code: "disk-low", subject: folder, probe: () => spaceProbe(folder) }),
      this.#watchRunner(),
    ];
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error("the runner is closing"));
    this.#database.close();
    await Promise.all(this.#watches);
  }

  async #watchRunner(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#look();
      await pause(intervalMs, { signal, ref: false });
    }
  }

  #look(): void {
    const { problems, listener, monitor, scheduler, sessions, active } = this.#options;
    const now = scheduler.now();
    const { view } = scheduler;
    const isActive = active();
    const troubles: Trouble[] = [];
    if (isActive) {
      if (monitor.problem !== undefined) troubles.push({ code: "queue-unreadable", cause: monitor.problem });
      if (!listener.connected) {
        troubles.push({ code: "notifications-lost", cause: "the subscription to notifications is broken" });
      }
      troubles.push(
        ...machineTroubles({
          builds: view.sizes().builds,
          machines: view.sizes().machines,
          held: scheduler.heldMachines(),
          storeTroubles: sessions.storeTroubles(),
          reasons: view.reasons(),
          now,
        }),
      );
    }
    const lasting = troubles.filter(({ code }) => this.#lasts(code, now));
    for (const code of polled) {
      const present = troubles.filter((trouble) => trouble.code === code);
      if (present.length === 0) this.#seen.delete(code);
      problems.keep(
        code,
        present.map(({ subject = "" }) => subject),
      );
    }
    for (const trouble of lasting) problems.begin(trouble);
  }

  /** Builders take a moment to rejoin, and so do subscriptions. */
  #lasts(code: ProblemCode, now: number): boolean {
    const since = this.#seen.get(code) ?? now;
    this.#seen.set(code, since);
    return !mayPass.has(code) || now - since >= patienceMs;
  }
}

const mayPass: ReadonlySet<ProblemCode> = new Set(["notifications-lost", "no-machines", "steps-unsupported"]);
const polled: readonly ProblemCode[] = [
  ...mayPass,
  "queue-unreadable",
  "machine-held",
  "machine-store-silent",
];
