/** One open tunnel of a builder: what it said of itself, and the way orders go down to it. */
import type { BuilderJoin, BuilderPing, RunnerOrder, TunnelConnection } from "../../rpc/types.js";
import { type MachineId, machineId } from "../../scheduler/ids.js";
import type { ResumedBuild } from "./resumed-build.js";

/** A machine while it is joined. It does not outlive its tunnel: a machine that joins again has a new session. */
export class BuilderSession {
  readonly id: MachineId;
  readonly join: BuilderJoin;
  /** Milliseconds since the epoch; resumed builds that are still unmatched by then are not wanted. */
  readonly adoptionDeadline: number;
  readonly #tunnel: TunnelConnection;
  #lastPing: BuilderPing | undefined;
  #resumed: readonly ResumedBuild[] = [];
  #leaving = false;

  constructor(join: BuilderJoin, tunnel: TunnelConnection, adoptionDeadline: number) {
    this.id = machineId(join.machineId);
    this.join = join;
    this.adoptionDeadline = adoptionDeadline;
    this.#tunnel = tunnel;
  }

  /** Address of the builder's end, for people. */
  get peer(): string {
    return this.#tunnel.peer.address;
  }

  /** With the last known pressure; undefined before the first ping. */
  get lastPing(): BuilderPing | undefined {
    return this.#lastPing;
  }

  /** Builds that it came with and that are not settled yet. */
  get resumed(): readonly ResumedBuild[] {
    return this.#resumed;
  }

  /** Its tunnel was ended by us: it is not expected back. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Pings of the machine itself, each remembered before it is given out. Read it once; throws when the tunnel breaks. */
  async *pings(): AsyncGenerator<BuilderPing, void, undefined> {
    for await (const ping of this.#tunnel.messages) {
      // The id inside the message is what counts on the wire, but a builder speaks for itself only.
      if (machineId(ping.machineId) !== this.id) continue;
      const pressure = ping.pressure ?? this.#lastPing?.pressure;
      this.#lastPing = pressure === undefined ? ping : { ...ping, pressure };
      yield ping;
    }
  }

  /** Remembers builds that are not attempts of the machine yet, until they are settled. */
  resume(builds: readonly ResumedBuild[]): void {
    this.#resumed = builds;
    for (const one of builds) {
      void one.whenSettled.then(() => {
        this.#resumed = this.#resumed.filter((other) => other !== one);
      });
    }
  }

  /** Queues an order without waiting; false when the tunnel is over. */
  send(order: RunnerOrder): boolean {
    return this.#tunnel.send(order);
  }

  /** Ends the tunnel because the machine has a new one. */
  supersede(): void {
    this.#tunnel.close("the builder joined again");
  }

  /** Ends the tunnel for good, for example of a machine that went silent. */
  disconnect(reason: string): void {
    this.#leaving = true;
    this.#tunnel.close(reason);
  }
}
