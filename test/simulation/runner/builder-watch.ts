/** Looks at what passes between the runner and its builders. */
import { stepStatus } from "../../../lib/database/status-numbers.js";
import type { StorePath } from "../../../lib/nix/index.js";
import { type BuildOrder, isSamePrincipal, type RpcError } from "../../../lib/rpc/index.js";
import { machineId } from "../../../lib/scheduler/ids.js";
import { demand } from "../oracle.js";
import { type Run, rejoinGraceMs } from "./run.js";
import { checkBuilt } from "./runner-oracle.js";
import type { RunnerWorld } from "./runner-world.js";
import { loggerOf } from "./simulated-disk.js";

/** An order may be sent after a build was cancelled and before the runner has read it. Milliseconds, when all is calm. */
const noticedAfterMs = 100;
/** A row that takes longer than this is slow. Milliseconds. */
const slowRowMs = 300;

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

  /** What was written as the log of a derivation. */
  onLog(drv: StorePath, text: string): void {
    this.#guarded(() =>
      demand(
        text === "" || this.#world.ledger.mayLog(loggerOf(text), drv),
        "logs are written by those who were asked to build",
        () => `${text} for ${drv}`,
      ),
    );
  }

  /** An output was not taken from an honest builder. */
  onRefused(run: Run, error: RpcError): void {
    const { life } = this.#world;
    const wanted = run.owned && run.life === this.#world.lives && life?.knows(run) === true;
    this.#guarded(() =>
      demand(
        !wanted || !life.active || error.code === "unavailable",
        "outputs of a running attempt are taken",
        () => `${run.id} on ${run.machine}: ${error.message}`,
      ),
    );
  }

  /** Something that must be true when a call of a liar was answered. */
  demands(condition: boolean, invariant: string, detail: () => string): void {
    this.#guarded(() => demand(condition, invariant, detail));
  }

  /** What another machine has in hand must not be given out. */
  #order(order: BuildOrder, machine: string): void {
    const { drv, buildId: id } = order;
    const now = this.#world.time.now();
    for (const input of order.derivation?.inputSources ?? [])
      checkBuilt(this.#world, input, `input of ${drv}`);
    demand(
      this.#world.life?.knows({ id, machine }) === true,
      "what is handed out is known",
      () => `${drv} went to ${machine}`,
    );
    demand(this.#world.life?.taken.has(drv) !== true, "what is built is not built again", () => drv);
    this.#rowless(order, machine);
    for (const builder of this.#world.builders) {
      for (const run of builder.runs.values()) {
        if (run.drv !== drv || run.state === "over") continue;
        const awaited = run.ownedUntil !== undefined && now < run.ownedUntil;
        const owned = run.owned || (awaited && this.#reserved(run) && !this.#dropped(run, builder.hostname));
        demand(!owned, "no derivation runs twice at once", () => `${drv} is still on ${run.machine}`);
      }
    }
  }

  /**
   * A later runner knows only of orders that have a row. They may be sent beside it, but not while the rows of earlier ones
   * do not come.
   */
  #rowless(order: BuildOrder, machine: string): void {
    const { life, lives, time, builders } = this.#world;
    const hasRow = (drv: StorePath, on: string): boolean => this.#world.hasRow(drv, on);
    if (hasRow(order.drv, machine)) return;
    const late = builders
      .flatMap((builder) => [...builder.runs.values()])
      .find(
        (run) =>
          run.life === lives &&
          run.knownByRow &&
          life?.isLaunched(run) === true &&
          time.now() - run.startedAt > slowRowMs &&
          !hasRow(run.drv, run.machine),
      );
    demand(
      late === undefined,
      "orders wait for rows that are slow",
      () => `${order.drv} beside ${late?.drv}`,
    );
  }

  /** For a build of an earlier runner that was not adopted before its machine left again, the first wait is the only one. */
  #reserved(run: Run): boolean {
    const { life, lives, time } = this.#world;
    if (run.life === lives || life === undefined || life.knows(run)) return true;
    return time.now() < life.activeAt + rejoinGraceMs;
  }

  /**
   * Whether the runner dropped what a machine has that is away, as no build wanted it any more. No abort can show that
   * (the machine gets one when it is back): the attempt is forgotten, and its row says so, will say so once the database
   * takes it, or was deleted with its build.
   */
  #dropped(run: Run, hostname: string): boolean {
    const { life, lives, database } = this.#world;
    if (run.life !== lives || life?.knows(run) !== false) return false;
    const rows = [...database.tables.steps.values()].filter(
      (row) => row.machine === hostname && row.drvPath.endsWith(run.drv),
    );
    const status = rows.at(-1)?.status;
    if (status !== undefined && status !== stepStatus.cancelled) return false;
    this.#abort(run);
    return true;
  }

  /** A build is given up only when something happened that may be a reason. */
  #abort(run: Run): void {
    const reason =
      run.stalled ||
      this.#world.repointed ||
      run.life !== this.#world.lives ||
      run.disturbances !== this.#world.disturbances ||
      this.#world.disturbedAt >= run.startedAt - noticedAfterMs ||
      !this.#world.calmFor(100_000);
    demand(reason, "no build is given up without a reason", () => `${run.id} on ${run.machine}`);
  }

  /** A stale report is refused and changes nothing. */
  onReport(run: Run, again: boolean): (error: unknown) => void {
    const check = this.#answer(run, again);
    return (error) => this.#guarded(() => check(error));
  }

  /** A report in the name of a caller that the attempt was not given to is refused and changes nothing. */
  onForeignReport(run: Run): (error: unknown) => void {
    const { life } = this.#world;
    const event = this.#world.events;
    const before = life?.digest();
    return (error) =>
      this.#guarded(() => {
        demand(error !== undefined, "reports are taken from the owner of the attempt", () => run.id);
        if (this.#world.life !== life || this.#world.events !== event) return;
        demand(life?.digest() === before, "a foreign report changes nothing", () => run.id);
      });
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
    // A machine id that is another caller's, or another host's, by now is no longer the sender's.
    const builder = this.#world.builders.find(({ id }) => id === run.machine);
    const owner = life.parts.owners.of(machineId(run.machine));
    const isOwner =
      builder !== undefined &&
      owner !== undefined &&
      isSamePrincipal(owner.principal, builder.principal) &&
      owner.hostname === builder.hostname;
    const owned = run.owned && isOwner;
    // The same report by another machine is none of the first one's.
    const sender = `${run.machine} ${run.id}`;
    const known = life.reported.has(sender);
    const answered = life.answered.has(sender);
    life.reported.add(sender);
    const event = this.#world.events;
    const before = life.knows(run) ? undefined : life.digest();
    return (error) => {
      if (this.#world.life !== life) return;
      if (error === undefined) life.answered.add(sender);
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
