/**
 * A build machine: takes orders from its tunnel, works on them for a while, reports.
 *
 * It knows which of its builds the runner may still count on (`owned`), so that a second hand-out of a derivation that
 * is still in somebody's hands is noticed.
 */

import type {
  BuilderJoin,
  BuildState,
  CallContext,
  Principal,
  RunnerOrder,
  RunningBuild,
} from "../../../lib/rpc/index.js";
import { RpcError } from "../../../lib/rpc/index.js";
import { logOf, type SimulatedOutput, streamOf } from "../../../lib/testing/simulated/contents.js";
import { quietPing } from "../../../lib/testing/simulated/quiet-ping.js";
import type { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { peerOf, SimulatedTunnel } from "../../../lib/testing/simulated/simulated-tunnel.js";
import { type BuilderWorld, completionOf, givenUp, type OutputLie, type Run, rejoinGraceMs } from "./run.js";
import type { PlannedDerivation } from "./runner-plan.js";
import { sentOutputs } from "./sent-outputs.js";
import { logText } from "./simulated-disk.js";

/** How often an output is sent before the build is given up. */
const maxSends = 20;

export interface SimulatedBuilderOptions {
  /** In whose name it calls. */
  readonly principal: Principal;
  /** Goes on with its builds while it has no runner. */
  readonly keepsBuilds: boolean;
}

export class SimulatedBuilder {
  readonly id: string;
  readonly hostname: string;
  readonly principal: Principal;
  readonly runs = new Map<string, Run>();
  readonly #world: BuilderWorld;
  readonly #join: Omit<BuilderJoin, "running">;
  readonly #keepsBuilds: boolean;
  /** Builds that it will say it has when it joins the next time. */
  readonly #claims: RunningBuild[] = [];
  #tunnel: SimulatedTunnel | undefined;
  #pinging = false;
  /** Of the runner that it is connected to. */
  #life = 0;
  #leaving = false;
  /** How often something had happened that may end builds early when the last tunnel closed. */
  #disturbancesAtClose = 0;

  constructor(
    world: BuilderWorld,
    join: Omit<BuilderJoin, "running">,
    { principal, keepsBuilds }: SimulatedBuilderOptions,
  ) {
    this.#world = world;
    this.#join = join;
    this.id = join.machineId;
    this.hostname = join.hostname;
    this.principal = principal;
    this.#keepsBuilds = keepsBuilds;
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
    for (const run of this.runs.values()) {
      if (run.life < life) run.ownedUntil = undefined;
      run.knownByRow &&= this.#world.hasRow(run.drv, run.machine);
    }
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

  /** It joins again, and says that these builds run on it. */
  claim(builds: readonly RunningBuild[]): void {
    this.#claims.push(...builds);
    this.breakTunnel();
  }

  /** It will not tell the truth about one of its builds. */
  lie(random: SeededRandom, lie: OutputLie): void {
    const working = [...this.runs.values()].filter((run) => run.state === "working");
    if (working.length > 0) random.pick(working).lie = lie;
  }

  /** Another host joined as this machine, and may do so: the runner counts on that one now. */
  displaced(): void {
    for (const run of this.runs.values()) {
      run.owned = false;
      run.ownedUntil = undefined;
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
    const report = completionOf({ id: victim.id, machine: this.id }, "buildFailure", undefined, false);
    const known = this.#world.watch.onReport({ ...victim, machine: this.id, owned: false }, false);
    side.handlers.completeBuild(report, this.#context()).then(() => known(undefined), known);
  }

  #connect(): void {
    if (this.#leaving) return;
    const { time, runner, random } = this.#world;
    const side = runner();
    if (side === undefined) {
      time.after(random.int(500, 1500), () => this.#connect());
      return;
    }
    const tunnel: SimulatedTunnel = new SimulatedTunnel(time, this.id, this.principal, {
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
      // In time: then the break is no reason to lose it. What happened since may be one.
      if (run.ownedUntil !== undefined && time.now() < run.ownedUntil - 1000) {
        if (run.disturbances !== givenUp) run.disturbances = this.#disturbancesAtClose;
      }
      // The runner is done with a build that somebody reported in its name, and a later one with what was cancelled.
      run.owned = run.disturbances !== givenUp && (run.life === this.#life || run.knownByRow);
      run.ownedUntil = undefined;
    }
    const claims = this.#claims.splice(0);
    const told = this.#keepsBuilds ? [...running, ...claims] : claims;
    void side.handlers
      .openTunnel(
        { ...this.#join, ...(told.length > 0 || this.#keepsBuilds ? { running: told } : {}) },
        tunnel,
      )
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
    const { time, watch, ledger } = this.#world;
    if (order.kind === "abort") {
      const run = this.runs.get(order.buildId);
      if (run !== undefined) {
        if (run.state === "working") watch.onAbort(run);
        run.owned = false;
        run.ownedUntil = undefined;
      }
    } else if (order.kind === "build") {
      ledger.ordered({ order: order.build, machine: this.id, principal: this.principal });
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
        disturbances: this.#tunnel?.blackHole === true ? givenUp : this.#world.disturbances(),
        completion: undefined,
        lie: undefined,
        logged: false,
      });
    }
  }

  /** What the runner counts on from now on: a machine that it gave up itself is not waited for. */
  #closed(tunnel: SimulatedTunnel, byRunner: boolean): void {
    if (this.#tunnel !== tunnel) return;
    this.#disturbancesAtClose = this.#world.disturbances();
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
      this.#log(run);
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

  #log(run: Run): void {
    if (run.logged || !this.#reachable()) return;
    run.logged = true;
    void this.#world
      .runner()
      ?.handlers.buildLog({ drv: run.drv, chunks: logOf(logText(this.principal, run.id)) }, this.#context())
      .catch(() => {
        run.logged = false;
      });
  }

  #upload(run: Run, planned: PlannedDerivation, sends = 0): void {
    const { time, random, plan, healed } = this.#world;
    if (sends === 0) this.#update(run, "receivingOutputs");
    time.after(sends === 0 ? random.int(0, 2_000) : random.int(500, 5_000), () => {
      if (run.state !== "working" || run.stalled) return;
      const loses = sends === 0 && !healed() && random.chance(plan.builders.loseOutputs);
      const lie = run.lie ?? (loses ? "withheld" : undefined);
      const foreign = random.pick(this.#world.outputPaths());
      const { sent, stated, reported } = sentOutputs(run, planned, plan.seed, lie, foreign);
      const finish = (): void => {
        if (run.state === "working" && !run.stalled) this.#finish(run, "success", planned, reported);
      };
      if (sent === undefined) return finish();
      this.#send(streamOf(sent, stated)).then(finish, (error: unknown) => {
        if (lie !== undefined) return finish();
        this.#notSent(run, planned, sends + 1, error);
      });
    });
  }

  /** Rejects when the runner does not take it, and when the connection breaks. */
  #send(stream: ReturnType<typeof streamOf>): Promise<void> {
    const side = this.#world.runner();
    if (side === undefined || !this.#reachable()) return Promise.reject(new Error("no runner"));
    const context = this.#context();
    return new Promise((resolve, reject) => {
      const broke = (): void => reject(context.signal.reason);
      context.signal.addEventListener("abort", broke, { once: true });
      side.handlers
        .buildResult(stream, context)
        .finally(() => context.signal.removeEventListener("abort", broke))
        .then(resolve, reject);
    });
  }

  #notSent(run: Run, planned: PlannedDerivation, sends: number, error: unknown): void {
    if (error instanceof RpcError) this.#world.watch.onRefused(run, error);
    if (run.state !== "working") return;
    if (sends < maxSends) this.#upload(run, planned, sends);
    else this.#finish(run, "uploadFailure");
  }

  #finish(run: Run, state: BuildState, planned?: PlannedDerivation, output?: SimulatedOutput): void {
    const { random, plan, time } = this.#world;
    run.state = "done";
    run.completion = completionOf(run, state, output, planned?.result === "failsWithOutput");
    this.#report(run);
    if (random.chance(plan.builders.reportTwice)) {
      time.after(random.int(0, random.pick([2, 3_000])), () => this.#report(run, true));
    }
  }

  #report(run: Run, again = false): void {
    const { time, runner, random, watch, ledger } = this.#world;
    const { completion } = run;
    const side = runner();
    if (completion === undefined || (run.state === "over" && !again)) return;
    if (side === undefined || !this.#reachable()) {
      // The next join brings it up again.
      return;
    }
    ledger.reports(this.principal, completion);
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

  /** As behind a proxy: the call may come over any connection. */
  #context(): CallContext {
    const tunnel = this.#tunnel;
    if (tunnel === undefined) throw new Error("no tunnel");
    return { peer: peerOf(this.principal), signal: tunnel.signal };
  }
}
