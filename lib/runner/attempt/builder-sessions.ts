/**
 * The builders that are connected: one session for each open tunnel.
 *
 * A session feeds the scheduler with what the machine reports of itself and carries orders down. Orders are put into the
 * tunnel without waiting; a tunnel that does not drain is closed by the transport, which counts as a lost machine.
 */
import type { Logger } from "../../log.js";
import type { BuilderJoin, RunnerOrder, RunningBuild, TunnelConnection } from "../../rpc/types.js";
import { attemptId, type MachineId, machineId } from "../../scheduler/ids.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { BuilderSession } from "./builder-session.js";
import type { MachineEvents } from "./machine-events.js";
import { machineInfo, machineLoad } from "./machine-facts.js";
import { ResumedBuild } from "./resumed-build.js";

/** What sessions work with. */
export interface BuilderSessionsOptions {
  readonly scheduler: RunningScheduler;
  readonly machineEvents: MachineEvents;
  readonly logger: Logger;
  readonly maxConcurrentDownloads: () => number;
  /** Milliseconds between pings down the tunnel; they only show that the stream is alive. Default 30 s. */
  readonly pingIntervalMs?: number;
  /** Milliseconds that a builder which keeps its builds may take to come back; it tries about every second. Default 10 s. */
  readonly rejoinGraceMs?: number;
  /** Milliseconds that a build which a builder came with waits for its step to become known. Default 10 s. */
  readonly adoptionGraceMs?: number;
}

/** The open sessions by machine. */
export class BuilderSessions {
  readonly #scheduler: RunningScheduler;
  readonly #machineEvents: MachineEvents;
  readonly #logger: Logger;
  readonly #maxConcurrentDownloads: () => number;
  readonly #pingIntervalMs: number;
  readonly #rejoinGraceMs: number;
  readonly #adoptionGraceMs: number;
  readonly #open = new Map<MachineId, BuilderSession>();
  /** Builds whose machine left while they were being adopted, by attempt; it may be back before that is done. */
  readonly #adopting = new Map<string, ResumedBuild>();

  constructor(options: BuilderSessionsOptions) {
    this.#scheduler = options.scheduler;
    this.#machineEvents = options.machineEvents;
    this.#logger = options.logger;
    this.#maxConcurrentDownloads = options.maxConcurrentDownloads;
    this.#pingIntervalMs = options.pingIntervalMs ?? 30_000;
    this.#rejoinGraceMs = options.rejoinGraceMs ?? 10_000;
    this.#adoptionGraceMs = options.adoptionGraceMs ?? 10_000;
  }

  /** Serves one tunnel until either end closes it. */
  async serve(join: BuilderJoin, tunnel: TunnelConnection): Promise<void> {
    const scheduler = this.#scheduler;
    const session = new BuilderSession(join, tunnel, scheduler.now() + this.#adoptionGraceMs);
    const { id } = session;
    const before = this.#open.get(id);
    this.#open.set(id, session);
    const running = join.running ?? [];
    this.#machineEvents.joined(join);
    scheduler.addMachine(
      machineInfo(join),
      running.map((build) => attemptId(build.buildId)),
    );
    session.resume(this.#unsettled(id, running));
    // A round of the dispatcher decides on the rest.
    const deadlinePassed =
      session.resumed.length === 0
        ? undefined
        : setTimeout(() => scheduler.requestRound(), this.#adoptionGraceMs + 1);
    before?.supersede();
    session.send({
      kind: "joinResponse",
      machineId: id,
      maxConcurrentDownloads: this.#maxConcurrentDownloads(),
    });
    session.send({ kind: "ping", message: "ping" });
    const pings = setInterval(() => session.send({ kind: "ping", message: "ping" }), this.#pingIntervalMs);
    try {
      for await (const ping of session.pings()) scheduler.updateMachine(id, machineLoad(ping));
    } catch (error) {
      this.#logger.warn("tunnel broke", { machine: id, hostname: join.hostname, error });
    } finally {
      clearInterval(pings);
      clearTimeout(deadlinePassed);
      for (const resumed of session.resumed) {
        if (resumed.state === "adopting") this.#adopting.set(resumed.build.buildId, resumed);
        else resumed.settle();
      }
      this.#ended(session);
    }
  }

  /**
   * Waits until it is known what becomes of a build that one of the machines came with; at once for all other builds.
   * Calls about a build that overtake its adoption would be refused otherwise.
   */
  async whenSettled(machines: Iterable<string>, isIt: (build: RunningBuild) => boolean): Promise<void> {
    for (const id of machines) {
      for (const { build, whenSettled } of this.#open.get(machineId(id))?.resumed ?? []) {
        if (isIt(build)) await whenSettled;
      }
    }
  }

  /** Puts an order into the machine's tunnel; false when the machine is not (or no longer) connected. */
  send(machine: MachineId, order: RunnerOrder): boolean {
    return this.#open.get(machine)?.send(order) ?? false;
  }

  broadcast(order: RunnerOrder): void {
    for (const session of this.#open.values()) session.send(order);
  }

  /** Ends a tunnel from our side, for example of a machine that went silent. */
  disconnect(machine: MachineId, reason: string): void {
    this.#open.get(machine)?.disconnect(reason);
  }

  disconnectAll(reason: string): void {
    for (const session of this.#open.values()) session.disconnect(reason);
  }

  get(machine: MachineId): BuilderSession | undefined {
    return this.#open.get(machine);
  }

  all(): readonly BuilderSession[] {
    return [...this.#open.values()];
  }

  /** The builds among `running` that are not attempts of the machine yet. */
  #unsettled(machine: MachineId, running: readonly RunningBuild[]): readonly ResumedBuild[] {
    const { view } = this.#scheduler;
    const unsettled = running.flatMap((build) => {
      const known = view.attempt(attemptId(build.buildId))?.machine === machine;
      return known ? (this.#adopting.get(build.buildId) ?? []) : new ResumedBuild(build);
    });
    for (const { build, whenSettled } of unsettled) {
      void whenSettled.then(() => this.#adopting.delete(build.buildId));
    }
    return unsettled;
  }

  #ended(session: BuilderSession): void {
    const scheduler = this.#scheduler;
    const { id, join } = session;
    if (this.#open.get(id) !== session) return;
    this.#open.delete(id);
    const keepsBuilding = join.running !== undefined && !session.leaving;
    const hasAttempts = (scheduler.machine(id)?.attempts.length ?? 0) > 0;
    if (keepsBuilding && hasAttempts) scheduler.disconnectMachine(id, this.#rejoinGraceMs);
    else scheduler.removeMachine(id);
  }
}
