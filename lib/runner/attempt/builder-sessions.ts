/**
 * The builders that are connected: one session for each open tunnel.
 *
 * A session feeds the scheduler with what the machine says of itself and carries orders down. Orders are put into the
 * tunnel without waiting; a tunnel that does not drain is closed by the transport, which counts as a lost machine.
 */
import type { Logger } from "../../log.js";
import type {
  BuilderJoin,
  BuilderPing,
  RunnerOrder,
  RunningBuild,
  TunnelConnection,
} from "../../rpc/types.js";
import type { SchedulerApi } from "../../scheduler/api.js";
import { attemptId, type MachineId, machineId, stepId } from "../../scheduler/ids.js";
import type { MachineInfo, MachineLoad } from "../../scheduler/machines/machine-types.js";
import type { Assignment, Effect } from "../../scheduler/types.js";

export interface BuilderSession {
  readonly id: MachineId;
  readonly join: BuilderJoin;
  /** Address of the builder's end, for people. */
  readonly peer: string;
  /** Milliseconds since the epoch. */
  readonly joinedAt: number;
  readonly lastPing: BuilderPing | undefined;
  /** Milliseconds since the epoch; undefined before the first ping. */
  readonly lastPingAt: number | undefined;
}

export interface BuilderSessionsOptions {
  readonly scheduler: SchedulerApi;
  readonly logger: Logger;
  readonly now: () => number;
  readonly random: () => number;
  readonly perform: (effects: readonly Effect[]) => void;
  /** Something about the machines changed that may allow new assignments. */
  readonly onChange: () => void;
  readonly maxConcurrentDownloads: () => number;
  /** Milliseconds between pings down the tunnel; they only show that the stream is alive. Default 30 s. */
  readonly pingIntervalMs?: number;
  /** Milliseconds that a builder which keeps its builds going may take to come back; it tries every second or so. Default 10 s. */
  readonly rejoinGraceMs?: number;
  /** The queue is in memory: what is not wanted now is not wanted at all. */
  readonly queueLoaded: () => boolean;
  /** A build of a rejoined builder was taken over; it needs a row, but no order. Must not reject. */
  readonly onAdopted: (assignment: Assignment) => Promise<void>;
  /** Milliseconds that a build which a builder came with waits for its step to become known. Default 10 s. */
  readonly adoptionGraceMs?: number;
}

/** A build that a builder came with and whose step is not (yet) known here. */
interface Stranger {
  readonly build: RunningBuild;
  /** It is being taken over. */
  taken: boolean;
  /** Resolves when the build is taken over, or is not wanted. */
  readonly decided: Promise<void>;
  readonly decide: () => void;
}

interface OpenSession extends BuilderSession {
  lastPing: BuilderPing | undefined;
  lastPingAt: number | undefined;
  readonly tunnel: TunnelConnection;
  strangers: readonly Stranger[];
  /** Milliseconds since the epoch; strangers that are still unknown by then are not wanted. */
  readonly strangersUntil: number;
  /** Its tunnel was ended by us: it is not expected back. */
  leaving: boolean;
}

export class BuilderSessions {
  readonly #options: BuilderSessionsOptions;
  readonly #open = new Map<MachineId, OpenSession>();

  constructor(options: BuilderSessionsOptions) {
    this.#options = options;
  }

  /** Serves one tunnel until it ends, whoever ends it. */
  async serve(join: BuilderJoin, tunnel: TunnelConnection): Promise<void> {
    const { scheduler, logger, now, random, perform, onChange } = this.#options;
    const id = machineId(join.machineId);
    const graceMs = this.#options.adoptionGraceMs ?? 10_000;
    const session: OpenSession = {
      id,
      join,
      peer: tunnel.peer.address,
      joinedAt: now(),
      lastPing: undefined,
      lastPingAt: undefined,
      tunnel,
      strangers: [],
      strangersUntil: now() + graceMs,
      leaving: false,
    };
    const before = this.#open.get(id);
    this.#open.set(id, session);
    const running = join.running ?? [];
    const known = running.map((build) => attemptId(build.buildId));
    perform(scheduler.addMachine(machineInfo(id, join), now(), random, known));
    session.strangers = running
      .filter((build) => scheduler.attempt(attemptId(build.buildId))?.machine !== id)
      .map(stranger);
    // A round of the dispatcher decides on the rest.
    const graceOver =
      session.strangers.length === 0 ? undefined : setTimeout(() => this.#options.onChange(), graceMs + 1);
    before?.tunnel.close("the builder joined again");
    logger.info("builder joined", { machine: id, hostname: join.hostname, systems: join.systems.join(",") });
    tunnel.send({
      kind: "joinResponse",
      machineId: id,
      maxConcurrentDownloads: this.#options.maxConcurrentDownloads(),
    });
    tunnel.send({ kind: "ping", message: "ping" });
    const pings = setInterval(
      () => tunnel.send({ kind: "ping", message: "ping" }),
      this.#options.pingIntervalMs ?? 30_000,
    );
    onChange();
    try {
      for await (const ping of tunnel.messages) this.#pinged(session, ping);
    } catch (error) {
      logger.warn("tunnel broke", { machine: id, hostname: join.hostname, error });
    } finally {
      clearInterval(pings);
      clearTimeout(graceOver);
      for (const { decide } of session.strangers) decide();
      this.#ended(session);
    }
  }

  /**
   * Takes over builds that builders kept going while we were away, as far as their steps are wanted and free; what
   * nobody wants is aborted once the queue is known. A step may also become known a little later, when another one is
   * resolved to it. Call it before steps are handed out.
   */
  adopt(): void {
    const { scheduler, queueLoaded, onAdopted, now, logger } = this.#options;
    for (const session of this.#open.values()) {
      if (session.strangers.length === 0) continue;
      const mayAppear = !queueLoaded() || now() < session.strangersUntil;
      session.strangers = session.strangers.filter((one) => {
        const { build, decide } = one;
        if (one.taken) return true;
        const assignment = scheduler.adoptAttempt(
          {
            attempt: attemptId(build.buildId),
            step: stepId(build.drv),
            machine: session.id,
            startedAt: now() - build.ageMs,
          },
          now(),
        );
        if (assignment !== undefined) {
          logger.info("running build taken over", { drv: build.drv, hostname: session.join.hostname });
          one.taken = true;
          void onAdopted(assignment).then(() => {
            session.strangers = session.strangers.filter((other) => other !== one);
            decide();
          });
          return true;
        }
        if (mayAppear && !scheduler.hasStep(stepId(build.drv))) return true;
        logger.info("running build not wanted", { drv: build.drv, hostname: session.join.hostname });
        session.tunnel.send({ kind: "abort", buildId: build.buildId });
        decide();
        return false;
      });
    }
  }

  /**
   * Waits until it is known what becomes of a build that one of the machines came with; at once for all other builds.
   * Calls about a build that overtake its adoption would be refused otherwise.
   */
  async decided(machines: Iterable<string>, isIt: (build: RunningBuild) => boolean): Promise<void> {
    for (const id of machines) {
      for (const { build, decided } of this.#open.get(machineId(id))?.strangers ?? []) {
        if (isIt(build)) await decided;
      }
    }
  }

  /** Puts an order into the machine's tunnel; false when the machine is not (or no longer) connected. */
  send(machine: MachineId, order: RunnerOrder): boolean {
    return this.#open.get(machine)?.tunnel.send(order) ?? false;
  }

  broadcast(order: RunnerOrder): void {
    for (const session of this.#open.values()) session.tunnel.send(order);
  }

  /** Ends a tunnel from our side, for example of a machine that went silent. */
  disconnect(machine: MachineId, reason: string): void {
    const session = this.#open.get(machine);
    if (session === undefined) return;
    session.leaving = true;
    session.tunnel.close(reason);
  }

  disconnectAll(reason: string): void {
    for (const session of this.#open.values()) this.disconnect(session.id, reason);
  }

  get(machine: MachineId): BuilderSession | undefined {
    return this.#open.get(machine);
  }

  all(): readonly BuilderSession[] {
    return [...this.#open.values()];
  }

  #pinged(session: OpenSession, ping: BuilderPing): void {
    const { scheduler, now, onChange } = this.#options;
    // The id inside the message is what counts on the wire, but a builder speaks for itself only.
    if (machineId(ping.machineId) !== session.id) return;
    const pressure = ping.pressure ?? session.lastPing?.pressure;
    session.lastPing = pressure === undefined ? ping : { ...ping, pressure };
    session.lastPingAt = now();
    scheduler.updateMachine(session.id, machineLoad(ping), now());
    onChange();
  }

  #ended(session: OpenSession): void {
    const { scheduler, logger, now, random, perform, onChange } = this.#options;
    if (this.#open.get(session.id) !== session) return;
    this.#open.delete(session.id);
    logger.info("builder left", { machine: session.id, hostname: session.join.hostname });
    const keepsBuilding = session.join.running !== undefined && !session.leaving;
    if (keepsBuilding && (scheduler.machine(session.id, now())?.attempts.length ?? 0) > 0) {
      scheduler.disconnectMachine(session.id, now() + (this.#options.rejoinGraceMs ?? 10_000), now());
    } else perform(scheduler.removeMachine(session.id, now(), random));
    onChange();
  }
}

function stranger(build: RunningBuild): Stranger {
  let decide: () => void = () => {};
  const decided = new Promise<void>((resolve) => {
    decide = resolve;
  });
  return { build, taken: false, decided, decide };
}

function machineInfo(id: MachineId, join: BuilderJoin): MachineInfo {
  return {
    id,
    hostname: join.hostname,
    systems: join.systems,
    supportedFeatures: join.supportedFeatures,
    mandatoryFeatures: join.mandatoryFeatures,
    cpuCount: join.cpuCount,
    bogomips: join.bogomips,
    speedFactor: join.speedFactor,
    maxJobs: join.maxJobs,
    buildDirAvailThreshold: join.buildDirAvailThreshold,
    storeAvailThreshold: join.storeAvailThreshold,
    load1Threshold: join.load1Threshold,
    cpuPsiThreshold: join.cpuPsiThreshold,
    memPsiThreshold: join.memPsiThreshold,
    ioPsiThreshold: join.ioPsiThreshold,
  };
}

function machineLoad(ping: BuilderPing): MachineLoad {
  return {
    load1: ping.load1,
    buildDirFreePercent: ping.buildDirFreePercent,
    storeFreePercent: ping.storeFreePercent,
    pressure: ping.pressure && {
      cpuSomeAvg10: ping.pressure.cpuSome?.avg10,
      memFullAvg10: ping.pressure.memFull?.avg10,
      ioFullAvg10: ping.pressure.ioFull?.avg10,
    },
  };
}
