/**
 * The builders that are connected: one session for each open tunnel.
 *
 * A session feeds the scheduler with what the machine reports of itself and carries orders down. Orders are put into the
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
import { attemptId, type MachineId, machineId } from "../../scheduler/ids.js";
import type { MachineInfo, MachineLoad } from "../../scheduler/machines/machine-types.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import type { MachineEvents } from "./machine-events.js";
import { ResumedBuild } from "./resumed-build.js";

/** What other parts see of a session. */
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
  /** Builds that it came with and that are not settled yet. */
  readonly resumed: readonly ResumedBuild[];
  /** Milliseconds since the epoch; resumed builds that are still unmatched by then are not wanted. */
  readonly adoptionDeadline: number;
}

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

/** A machine whose Nix daemon does not work, and why, in the words of its builder. */
export interface StoreTrouble {
  readonly hostname: string;
  readonly reason: string;
}

interface OpenSession extends BuilderSession {
  lastPing: BuilderPing | undefined;
  lastPingAt: number | undefined;
  readonly tunnel: TunnelConnection;
  resumed: readonly ResumedBuild[];
  /** Its tunnel was ended by us: it is not expected back. */
  leaving: boolean;
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
  readonly #open = new Map<MachineId, OpenSession>();
  /** Those that came with builds which are not settled yet. Few: each dispatch round looks at all of them. */
  readonly #resuming = new Set<OpenSession>();
  /** Machines whose builders report that their Nix daemon does not work. Few: the health watch looks at all of them. */
  readonly #storeTroubles = new Map<MachineId, StoreTrouble>();
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
    const logger = this.#logger;
    const id = machineId(join.machineId);
    const joinedAt = scheduler.now();
    const session: OpenSession = {
      id,
      join,
      peer: tunnel.peer.address,
      joinedAt,
      lastPing: undefined,
      lastPingAt: undefined,
      tunnel,
      resumed: [],
      adoptionDeadline: joinedAt + this.#adoptionGraceMs,
      leaving: false,
    };
    const before = this.#open.get(id);
    this.#open.set(id, session);
    const running = join.running ?? [];
    this.#machineEvents.joined(join, session.peer);
    scheduler.addMachine(
      machineInfo(id, join),
      running.map((build) => attemptId(build.buildId)),
    );
    this.#resume(session, running);
    // A round of the dispatcher decides on the rest.
    const deadlinePassed =
      session.resumed.length === 0
        ? undefined
        : setTimeout(() => scheduler.requestRound(), this.#adoptionGraceMs + 1);
    before?.tunnel.close("the builder joined again");
    tunnel.send({
      kind: "joinResponse",
      machineId: id,
      maxConcurrentDownloads: this.#maxConcurrentDownloads(),
    });
    tunnel.send({ kind: "ping", message: "ping" });
    const pings = setInterval(() => tunnel.send({ kind: "ping", message: "ping" }), this.#pingIntervalMs);
    try {
      for await (const ping of tunnel.messages) this.#pinged(session, ping);
    } catch (error) {
      const { peer } = session;
      logger.warn("tunnel broke", { machine: id, hostname: join.hostname, peer, error });
    } finally {
      clearInterval(pings);
      clearTimeout(deadlinePassed);
      this.#resuming.delete(session);
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
  async whenSettled(
    isTheirs: (machine: MachineId) => boolean,
    isIt: (build: RunningBuild) => boolean,
  ): Promise<void> {
    for (const session of this.#resuming) {
      const { id, resumed } = session;
      // Another one may have taken its place.
      if (this.#open.get(id) !== session || !isTheirs(id)) continue;
      for (const { build, whenSettled } of resumed) if (isIt(build)) await whenSettled;
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

  /** The open sessions with builds that they came with and that are not settled yet. */
  resuming(): Iterable<BuilderSession> {
    return this.#resuming;
  }

  /** Machines whose builders report at present that their Nix daemon does not work. */
  storeTroubles(): readonly StoreTrouble[] {
    return [...this.#storeTroubles.values()];
  }

  /** Remembers the builds that are not attempts of the machine yet, until they are settled. */
  #resume(session: OpenSession, running: readonly RunningBuild[]): void {
    const { view } = this.#scheduler;
    session.resumed = running.flatMap((build) => {
      const known = view.attempt(attemptId(build.buildId))?.machine === session.id;
      return known ? (this.#adopting.get(build.buildId) ?? []) : new ResumedBuild(build);
    });
    if (session.resumed.length > 0) this.#resuming.add(session);
    for (const one of session.resumed) {
      void one.whenSettled.then(() => {
        this.#adopting.delete(one.build.buildId);
        session.resumed = session.resumed.filter((other) => other !== one);
        if (session.resumed.length === 0) this.#resuming.delete(session);
      });
    }
  }

  #pinged(session: OpenSession, ping: BuilderPing): void {
    // The id inside the message is what counts on the wire, but a builder speaks for itself only.
    if (machineId(ping.machineId) !== session.id) return;
    const pressure = ping.pressure ?? session.lastPing?.pressure;
    session.lastPing = pressure === undefined ? ping : { ...ping, pressure };
    session.lastPingAt = this.#scheduler.now();
    const { storeTrouble: reason } = ping;
    if (reason === undefined) this.#storeTroubles.delete(session.id);
    else this.#storeTroubles.set(session.id, { hostname: session.join.hostname, reason });
    this.#scheduler.updateMachine(session.id, machineLoad(ping));
  }

  #ended(session: OpenSession): void {
    const scheduler = this.#scheduler;
    const { id, join } = session;
    if (this.#open.get(id) !== session) return;
    this.#open.delete(id);
    this.#storeTroubles.delete(id);
    const keepsBuilding = join.running !== undefined && !session.leaving;
    const hasAttempts = (scheduler.machine(id)?.attempts.length ?? 0) > 0;
    if (keepsBuilding && hasAttempts) scheduler.disconnectMachine(id, this.#rejoinGraceMs);
    else scheduler.removeMachine(id);
  }
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
    storeTrouble: ping.storeTrouble,
    pressure: ping.pressure && {
      cpuSomeAvg10: ping.pressure.cpuSome?.avg10,
      memFullAvg10: ping.pressure.memFull?.avg10,
      ioFullAvg10: ping.pressure.ioFull?.avg10,
    },
  };
}
