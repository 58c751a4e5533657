/** What a user of a simulated farm sees of its database and store, and may do to them. */
import { defaultStoreDir, parseFullStorePath } from "../../nix/index.js";
import { outputAt } from "../simulated/contents.js";
import type { KnownDerivation } from "../simulated/derivations.js";
import {
  type DatabaseFaults,
  noDatabaseFaults,
  type SimulatedDatabase,
} from "../simulated/simulated-database.js";
import { noStoreFaults, type SimulatedStore, type StoreFaults } from "../simulated/simulated-store.js";
import type { BuildRow } from "../simulated/tables.js";
import type { WorldTime } from "../simulated/virtual-time.js";
import { SimulationError } from "./options.js";

/** A row of `builds`. Times are seconds since the epoch. */
export interface SimulatedBuild {
  readonly id: number;
  /** `project:jobset`. */
  readonly jobset: string;
  /** Name of the package. */
  readonly package: string;
  readonly finished: boolean;
  /** `buildstatus`: 0 is success; undefined before the build is finished. */
  readonly status: number | undefined;
  readonly startTime: number | undefined;
  readonly stopTime: number | undefined;
  /** It was not built for this build. */
  readonly cached: boolean;
}

/** A row of `buildsteps`. Times are seconds since the epoch. */
export interface SimulatedStep {
  readonly build: number;
  readonly stepnr: number;
  /** Name of the package. */
  readonly package: string;
  readonly busy: boolean;
  /** As in `buildsteps`: 0 is success; undefined while it runs. */
  readonly status: number | undefined;
  readonly startTime: number | undefined;
  readonly stopTime: number | undefined;
  /** Hostname. */
  readonly machine: string;
  readonly error: string | undefined;
}

/** The rows of Hydra's database, and what other programs and faults do to it. */
export class FarmDatabase {
  readonly #database: SimulatedDatabase;
  readonly #time: WorldTime;

  /** Made by the farm. */
  constructor(database: SimulatedDatabase, time: WorldTime) {
    this.#database = database;
    this.#time = time;
  }

  /** All builds, by id. */
  get builds(): readonly SimulatedBuild[] {
    const jobsets = new Map(this.#database.jobsets.map((one) => [one.id, `${one.project}:${one.name}`]));
    return [...this.#database.tables.builds.values()].map((row) => ({
      id: row.id,
      jobset: jobsets.get(row.jobset) ?? "",
      package: row.job,
      finished: row.finished,
      status: row.finished ? row.status : undefined,
      startTime: row.startTime,
      stopTime: row.stopTime,
      cached: row.cached,
    }));
  }

  /** All steps, in the order in which they were written. */
  get steps(): readonly SimulatedStep[] {
    return [...this.#database.tables.steps.values()].map((row) => ({
      build: row.build,
      stepnr: row.stepnr,
      package: parseFullStorePath(defaultStoreDir, row.drvPath).slice(33, -".drv".length),
      busy: row.busy !== 0,
      status: row.status,
      startTime: row.startTime,
      stopTime: row.stopTime,
      machine: row.machine,
      error: row.error,
    }));
  }

  /** As the front-end cancels a build that waits or runs. */
  cancel(build: number): void {
    this.#database.cancel(this.#row(build, false));
  }

  /** As the front-end restarts a finished build. */
  restart(build: number): void {
    this.#database.restart(this.#row(build, true));
  }

  /** As the front-end deletes a build with its steps. */
  delete(build: number): void {
    this.#database.delete(this.#row(build));
  }

  /** Gives a waiting build another global priority. */
  bump(build: number, globalPriority: number): void {
    this.#row(build, false).globalPriority = globalPriority;
    this.#database.notify("builds_bumped");
  }

  /** Something is wrong with the database for some virtual milliseconds; what is not said is well. */
  disturb(faults: Partial<DatabaseFaults>, forMs: number): void {
    const now = { ...noDatabaseFaults, ...faults };
    this.#database.faults = now;
    this.#time.after(forMs, () => {
      if (this.#database.faults === now) this.#database.heal();
    });
  }

  #row(build: number, finished?: boolean): BuildRow {
    const row = this.#database.tables.builds.get(build);
    if (row === undefined) throw new SimulationError("bad-farm", `there is no build ${build}`);
    if (finished !== undefined && row.finished !== finished) {
      throw new SimulationError(
        "bad-farm",
        `build ${build} is ${finished ? "not finished yet" : "finished"}`,
      );
    }
    return row;
  }
}

/** What is in the runner's store, and the faults of its daemon. */
export class FarmStore {
  readonly #store: SimulatedStore;
  readonly #time: WorldTime;
  readonly #known: ReadonlyMap<string, KnownDerivation>;

  /** Made by the farm. */
  constructor(store: SimulatedStore, time: WorldTime, known: ReadonlyMap<string, KnownDerivation>) {
    this.#store = store;
    this.#time = time;
    this.#known = known;
  }

  /** Whether the output of a package is there. Always false for a content-addressed one. */
  has(name: string): boolean {
    const output = this.#known.get(name)?.derivation.outputs.get("out");
    return output?.kind === "inputAddressed" && this.#store.outputs.has(output.path);
  }

  /**
   * The output of a package is there, as if it had been built before.
   *
   * @throws SimulationError `bad-farm` for a package that is not there, or whose output has no path before it is built
   */
  add(name: string): void {
    const output = this.#known.get(name)?.derivation.outputs.get("out");
    if (output?.kind !== "inputAddressed") {
      throw new SimulationError("bad-farm", `there is no package ${name} whose output path is known`);
    }
    const { path, nar, narHash } = outputAt(output.path, `built: ${name}`);
    this.#store.outputs.set(path, {
      nar,
      info: {
        path,
        deriver: undefined,
        narHash,
        references: [],
        registrationTime: 0,
        narSize: nar.length,
        ultimate: false,
        signatures: [],
        ca: undefined,
      },
    });
  }

  /** The daemon does not answer, or is slow, for some virtual milliseconds. */
  disturb(faults: Partial<StoreFaults>, forMs: number): void {
    const now = { ...noStoreFaults, ...faults };
    this.#store.faults = now;
    this.#time.after(forMs, () => {
      if (this.#store.faults === now) this.#store.faults = noStoreFaults;
    });
  }
}
