/** The rows of the simulated Hydra database, with what is needed to take changes back. */

/** A row of `builds`. Times are seconds since the epoch. */
export interface BuildRow {
  readonly id: number;
  readonly jobset: number;
  readonly job: string;
  readonly timestamp: number;
  drvPath: string;
  priority: number;
  globalPriority: number;
  finished: boolean;
  status: number | undefined;
  startTime: number | undefined;
  stopTime: number | undefined;
  cached: boolean;
}

/** A row of `buildsteps`, with those of `buildstepoutputs`. Times are seconds since the epoch. */
export interface StepRow {
  readonly build: number;
  readonly stepnr: number;
  readonly type: number;
  readonly drvPath: string;
  busy: number;
  status: number | undefined;
  startTime: number | undefined;
  stopTime: number | undefined;
  readonly system: string | undefined;
  machine: string;
  error: string | undefined;
  readonly propagatedFrom: number | undefined;
  readonly resolvedDrvPath: string | undefined;
  readonly outputs: Map<string, string | undefined>;
}

/** What `pg_notify` was called with. */
export interface SentNotification {
  readonly channel: string;
  readonly payload: string;
}

/** The key of a step among all. */
export const stepKey = (build: number, stepnr: number): string => `${build}/${stepnr}`;

/** All tables, and the changes of the transaction under way. */
export class Tables {
  readonly builds = new Map<number, BuildRow>();
  readonly steps = new Map<string, StepRow>();
  readonly failedPaths = new Set<string>();
  /** Of the transaction under way. */
  sent: SentNotification[] = [];
  /** Builds that the transaction under way ended. */
  ended: number[] = [];
  /** Something that no transaction may do. */
  complaint: string | undefined;
  #undo: (() => void)[] = [];

  begin(): void {
    this.#undo = [];
    this.sent = [];
    this.ended = [];
    this.complaint = undefined;
  }

  rollback(): void {
    for (const undo of this.#undo.reverse()) undo();
    this.begin();
  }

  changeBuild(row: BuildRow, change: Partial<BuildRow>): void {
    const before = { ...row };
    this.#undo.push(() => Object.assign(row, before));
    Object.assign(row, change);
  }

  changeStep(row: StepRow, change: Partial<StepRow>): void {
    const before = { ...row };
    this.#undo.push(() => Object.assign(row, before));
    Object.assign(row, change);
  }

  changeOutput(row: StepRow, name: string, path: string | undefined): void {
    const before = row.outputs.get(name);
    this.#undo.push(() => row.outputs.set(name, before));
    row.outputs.set(name, path);
  }

  insertStep(row: StepRow): void {
    const key = stepKey(row.build, row.stepnr);
    if (row.propagatedFrom !== undefined && this.builds.get(row.build)?.finished === true) {
      this.complaint = `a failure is copied into build ${row.build}, which is over`;
    }
    this.#undo.push(() => this.steps.delete(key));
    this.steps.set(key, row);
  }

  insertFailedPath(path: string): void {
    if (this.failedPaths.has(path)) return;
    this.#undo.push(() => this.failedPaths.delete(path));
    this.failedPaths.add(path);
  }

  /** Everything, to see whether something changed. */
  digest(): string {
    return JSON.stringify([
      [...this.builds.values()],
      [...this.steps.values()].map((row) => ({ ...row, outputs: [...row.outputs] })),
      [...this.failedPaths],
    ]);
  }
}
