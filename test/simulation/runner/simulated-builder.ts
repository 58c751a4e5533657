/**
 * A build machine: takes orders from its tunnel, works on them for a while, reports.
 *
 * It knows which of its builds the runner may still count on (`owned`), so that a second hand-out of a derivation that
 * is still in somebody's hands is noticed.
 */

import type { StorePath } from "../../../lib/nix/index.js";
import type { BuilderJoin, BuildState, RunnerOrder, RunnerServiceHandlers } from "../../../lib/rpc/index.js";
import { RpcError } from "../../../lib/rpc/index.js";
import { quietPing } from "../../support/quiet-ping.js";
import type { SeededRandom } from "../random.js";
import { type BuilderWorld, completionOf, type Run } from "./run.js";
import type { PlannedDerivation } from "./runner-plan.js";
import { pathOf } from "./simulated-store.js";
import { SimulatedTunnel } from "./simulated-tunnel.js";

/** How long the runner waits for a machine that keeps its builds. */
const rejoinGraceMs = 10_000;

export class SimulatedBuilder {
  readonly id: string;
  readonly runs = new Map<string, Run>();
  readonly #world: BuilderWorld;
  readonly #join: Omit<BuilderJoin, "running">;
  /** Goes on with its builds while it has no runner. */
  readonly #keepsBuilds: boolean;
  #tunnel: SimulatedTunnel | undefined;
  #pinging = false;
  /** Of the runner that it is connected to. */
  #life = 0;
  #leaving = false;

  constructor(
    world: BuilderWorld,
    join: Omit<BuilderJoin, "running">,
    options: { readonly keepsBuilds: boolean },
  ) {
    this.#world = world;
    this.#join = join;
    this.id = join.machineId;
    this.#keepsBuilds = options.keepsBuilds;
    this.#connect();
  }

  get connected(): boolean {
    return this.#tunnel?.open === true;
  }

  get gone(): boolean {
    return this.#leaving;
  }

  /** Leaves for good, and orderly or not: what it had in work is lost. */
  leave(): void {
    this.#leaving = true;
    this.#endAll();
    this.#tunnel?.break("the builder leaves");
  }

  /** The machine restarts: all its work is gone. */
  crash(): void {
    this.#endAll();
    this.#tunnel?.break("the builder crashed");
  }

  breakTunnel(): void {
    this.#tunnel?.break("the network broke");
  }

  /** The network swallows everything until one of the sides gives up. */
  silence(): void {
    if (this.#tunnel !== undefined) this.#tunnel.blackHole = true;
  }

  /** The runner's process of this life is dead. What earlier ones handed out, its successor may not know of. */
  runnerDied(life: number): void {
    for (const run of this.runs.values()) if (run.life < life) run.ownedUntil = undefined;
    this.#tunnel?.break("the runner died");
  }

  /** Rows were deleted: a new runner may not know what is in work. */
  forgetWaiting(): void {
    for (const run of this.runs.values()) run.knownByRow = false;
  }

  /** A new runner waits for what the last one had handed out. */
  runnerActive(life: number): void {
    const until = this.#world.time.now() + rejoinGraceMs;
    for (const run of this.runs.values()) {
      if (run.ownedUntil === undefined) continue;
      run.ownedUntil = run.knownByRow && run.life === life - 1 ? until : undefined;
    }
  }

  stallOne(random: SeededRandom): void {
    const working = [...this.runs.values()].filter((run) => run.state === "working");
    if (working.length > 0) random.pick(working).stalled = true;
  }

  /** Everything that the network or the machine may have swallowed comes back to life. */
  heal(): void {
    if (this.#tunnel?.blackHole === true) this.#tunnel.break("the builder noticed that nothing comes");
  }

  /** Says that a build of another machine failed. */
  spoof(victim: Run): void {
    const side = this.#world.runner();
    if (side === undefined || !this.#reachable() || victim.machine === this.id) return;
    const known = this.#world.watch.onReport({ ...victim, machine: this.id, owned: false }, false);
    side.handlers
      .completeBuild(
        {
          buildId: victim.id,
          machineId: this.id,
          state: "buildFailure",
          importMs: 0,
          buildMs: 0,
          uploadMs: 0,
          outputs: new Map(),
          error: "not mine",
        },
        this.#context(),
      )
      .then(() => known(undefined), known);
  }

  #connect(): void {
    if (this.#leaving) return;
    const { time, runner, random } = this.#world;
    const side = runner();
    if (side === undefined) {
      time.after(random.int(500, 1500), () => this.#connect());
      return;
    }
    const tunnel: SimulatedTunnel = new SimulatedTunnel(time, this.id, {
      onSend: (order) => this.#sent(order),
      onOrder: (order) => this.#take(order),
      onClosed: (byRunner) => this.#closed(tunnel, byRunner),
      onEnd: () => this.#ended(tunnel),
    });
    this.#tunnel = tunnel;
    this.#life = side.life;
    for (const run of this.runs.values()) if (!run.received) this.#over(run);
    const kept = [...this.runs.values()].filter((run) => run.state !== "over");
    const running = kept.map((run) => ({
      buildId: run.id,
      drv: run.drv,
      ageMs: time.now() - run.startedAt,
    }));
    for (const run of kept) {
      // In time: then nothing is lost.
      if (run.ownedUntil !== undefined && time.now() < run.ownedUntil - 1000) {
        run.disturbances = this.#world.disturbances();
      }
      run.owned = true;
      run.ownedUntil = undefined;
    }
    void side.handlers
      .openTunnel({ ...this.#join, ...(this.#keepsBuilds ? { running } : {}) }, tunnel)
      .catch(() => {})
      .finally(() => tunnel.close("the runner ended the tunnel"));
    if (!this.#pinging) this.#ping();
    for (const run of kept) if (run.state === "done") this.#report(run);
  }

  #ping(): void {
    this.#pinging = true;
    if (this.#leaving) return;
    this.#tunnel?.ping(quietPing(this.id));
    this.#world.time.after(20_000, () => this.#ping());
  }

  #ended(tunnel: SimulatedTunnel): void {
    if (this.#tunnel !== tunnel) return;
    const { time, random } = this.#world;
    this.#tunnel = undefined;
    if (!this.#keepsBuilds) this.#endAll();
    const slowly = !this.#world.healed() && random.chance(0.2);
    time.after(random.int(500, slowly ? 15_000 : 4_000), () => this.#connect());
  }

  #endAll(): void {
    for (const run of this.runs.values()) this.#over(run);
  }

  #over(run: Run): void {
    run.state = "over";
    run.owned = false;
    run.ownedUntil = undefined;
  }

  /** The runner's view, at the moment at which it lets go or hands out. */
  #sent(order: RunnerOrder): void {
    const { time, watch } = this.#world;
    if (order.kind === "abort") {
      const run = this.runs.get(order.buildId);
      if (run !== undefined) {
        if (run.state === "working") watch.onAbort(run);
        run.owned = false;
        run.ownedUntil = undefined;
      }
    } else if (order.kind === "build") {
      watch.onOrder(order.build, this.id);
      this.runs.set(order.build.buildId, {
        id: order.build.buildId,
        drv: order.build.drv,
        machine: this.id,
        startedAt: time.now(),
        order: order.build,
        life: this.#life,
        state: "working",
        owned: true,
        ownedUntil: undefined,
        knownByRow: true,
        received: false,
        stalled: false,
        // What is swallowed is given up some time, whatever happens.
        disturbances: this.#tunnel?.blackHole === true ? -1 : this.#world.disturbances(),
        completion: undefined,
      });
    }
  }

  /** What the runner counts on from now on: a machine that it gave up itself is not waited for. */
  #closed(tunnel: SimulatedTunnel, byRunner: boolean): void {
    if (this.#tunnel !== tunnel) return;
    const waitedFor = this.#keepsBuilds && !byRunner;
    for (const run of this.runs.values()) {
      if (!run.owned) continue;
      run.owned = false;
      run.ownedUntil = waitedFor ? this.#world.time.now() + rejoinGraceMs : undefined;
    }
  }

  #take(order: RunnerOrder): void {
    const { time, random, plan, healed } = this.#world;
    if (order.kind === "abort") {
      const run = this.runs.get(order.buildId);
      if (run === undefined || run.state === "over") return;
      // Some builders report what they had been told to leave.
      if (!healed() && random.chance(plan.builders.reportLate)) return;
      this.#over(run);
      return;
    }
    if (order.kind !== "build") return;
    const run = this.runs.get(order.build.buildId);
    if (run === undefined || run.state === "over") return;
    run.received = true;
    const planned = this.#world.planned(order.build.derivation?.name ?? "");
    time.after(random.int(0, 500), () => this.#update(run, "building"));
    const trouble = !healed() && random.chance(planned.flaky);
    time.after(trouble ? random.int(0, planned.durationMs) : planned.durationMs + random.int(1, 500), () => {
      if (run.state !== "working" || run.stalled) return;
      if (trouble) this.#finish(run, random.pick(["importFailure", "preparingFailure", "uploadFailure"]));
      else if (planned.result === "fails") this.#finish(run, "buildFailure");
      else if (planned.result === "timesOut") this.#finish(run, "timedOut");
      else this.#upload(run, planned);
    });
  }

  #update(run: Run, status: "building" | "receivingOutputs"): void {
    if (run.state !== "working" || run.stalled || !this.#reachable()) return;
    void this.#world
      .runner()
      ?.handlers.buildStepUpdate({ buildId: run.id, machineId: this.id, status }, this.#context())
      .catch(() => {});
  }

  #upload(run: Run, planned: PlannedDerivation): void {
    const { time, random, store, plan, healed } = this.#world;
    this.#update(run, "receivingOutputs");
    time.after(random.int(0, 2000), () => {
      if (run.state !== "working" || run.stalled) return;
      if (healed() || !random.chance(plan.builders.loseOutputs))
        store.valid.add(this.#outputOf(run, planned));
      this.#finish(run, "success", planned);
    });
  }

  #outputOf(run: Run, planned: PlannedDerivation): StorePath {
    const output = run.order.derivation?.outputs.get("out");
    return output?.kind === "inputAddressed"
      ? output.path
      : pathOf(String(this.#world.plan.seed), `${planned.name}-ca`);
  }

  #finish(run: Run, state: BuildState, planned?: PlannedDerivation): void {
    const { random, plan, time } = this.#world;
    const path = planned === undefined ? undefined : this.#outputOf(run, planned);
    run.state = "done";
    run.completion = completionOf(run, state, path, planned?.result === "failsWithOutput");
    this.#report(run);
    if (random.chance(plan.builders.reportTwice)) {
      time.after(random.int(0, random.pick([2, 3_000])), () => this.#report(run, true));
    }
  }

  #report(run: Run, again = false): void {
    const { time, runner, random, watch } = this.#world;
    const { completion } = run;
    const side = runner();
    if (completion === undefined || (run.state === "over" && !again)) return;
    if (side === undefined || !this.#reachable()) {
      // The next join brings it up again.
      return;
    }
    const known = watch.onReport(run, again);
    side.handlers.completeBuild(completion, this.#context()).then(
      () => {
        known(undefined);
        this.#over(run);
      },
      (error: unknown) => {
        known(error);
        if (error instanceof RpcError && error.code === "failed-precondition") this.#over(run);
        else time.after(random.int(500, 2000), () => this.#report(run));
      },
    );
    // From here on the runner decides what becomes of the derivation.
    run.owned = false;
  }

  #reachable(): boolean {
    return this.#tunnel?.open === true && !this.#tunnel.blackHole;
  }

  #context(): Parameters<RunnerServiceHandlers["completeBuild"]>[1] {
    const tunnel = this.#tunnel;
    if (tunnel === undefined) throw new Error("no tunnel");
    return { peer: tunnel.peer, signal: tunnel.signal };
  }
}
