/** Looks at what passes between the runner and its builders. */
import type { BuildOrder } from "../../../lib/rpc/index.js";
import { demand } from "../oracle.js";
import type { Run } from "./run.js";
import type { RunnerWorld } from "./runner-world.js";

export class BuilderWatch {
  readonly #world: RunnerWorld;
  /** A rule that was broken. */
  failure: unknown;

  constructor(world: RunnerWorld) {
    this.#world = world;
  }

  onOrder(order: BuildOrder, machine: string): void {
    this.#guarded(() => this.#order(order, machine));
  }

  onAbort(run: Run): void {
    this.#guarded(() => this.#abort(run));
  }

  /** A derivation that somebody else has in hand must not be handed out. */
  #order({ drv, buildId: id }: BuildOrder, machine: string): void {
    const now = this.#world.time.now();
    demand(
      this.#world.life?.knows({ id, machine }) === true,
      "what is handed out is known",
      () => `${drv} went to ${machine}`,
    );
    demand(this.#world.life?.taken.has(drv) !== true, "what is built is not built again", () => drv);
    for (const builder of this.#world.builders) {
      for (const run of builder.runs.values()) {
        if (run.drv !== drv || run.state === "over") continue;
        const owned = run.owned || (run.ownedUntil !== undefined && now < run.ownedUntil);
        demand(!owned, "no derivation runs twice at once", () => `${drv} is still on ${run.machine}`);
      }
    }
  }

  /** A build is given up only when something happened that may be a reason. */
  #abort(run: Run): void {
    const reason =
      run.stalled ||
      this.#world.repointed ||
      run.life !== this.#world.lives ||
      run.disturbances !== this.#world.disturbances ||
      !this.#world.calmFor(100_000);
    demand(reason, "no build is given up without a reason", () => `${run.id} on ${run.machine}`);
  }

  /** A stale report is refused and changes nothing. */
  onReport(run: Run, again: boolean): (error: unknown) => void {
    const check = this.#answer(run, again);
    return (error) => this.#guarded(() => check(error));
  }

  /** For checks that the runner's own code is in the middle of: it must not get to see their failure. */
  #guarded(check: () => void): void {
    try {
      check();
    } catch (broken) {
      this.failure ??= broken;
    }
  }

  #answer(run: Run, again: boolean): (error: unknown) => void {
    const { life } = this.#world;
    if (life === undefined) return () => {};
    const { owned } = run;
    const known = life.reported.has(run.id);
    const answered = life.answered.has(run.id);
    life.reported.add(run.id);
    const event = this.#world.events;
    const before = life.knows(run) ? undefined : life.digest();
    return (error) => {
      if (this.#world.life !== life) return;
      if (error === undefined) {
        life.answered.add(run.id);
        const paths = [...(run.completion?.outputs.values() ?? [])].map(({ path }) => path);
        if (paths.length > 0 && paths.every((path) => this.#world.store.valid.has(path)))
          life.taken.add(run.drv);
      }
      demand(
        !answered || error === undefined,
        "a repeated report gets the answer of the first",
        () => `${run.id}: ${String(error)}`,
      );
      if (before === undefined || known || again) return;
      if (error === undefined) {
        demand(
          owned || this.#world.events !== event,
          "a stale report is refused",
          () => `${run.id} was taken`,
        );
      } else if (this.#world.events === event) {
        demand(!owned, "only stale reports are refused", () => `${run.id} on ${run.machine}`);
        this.#world.afterEvent(() =>
          demand(life.digest() === before, "a stale report changes nothing", () => run.id),
        );
      }
    };
  }
}
