/** The two ends of one tunnel. Orders arrive in their order, a little later; what is under way at the end is lost. */
import type { BuilderPing, Peer, Principal, RunnerOrder, TunnelConnection } from "../../rpc/index.js";
import type { WorldTime } from "./virtual-time.js";

/** What the builder's side hears of. */
export interface TunnelEvents {
  /** The runner has put an order in. */
  readonly onSend: (order: RunnerOrder) => void;
  /** The builder has received it. */
  readonly onOrder: (order: RunnerOrder) => void;
  /** The tunnel is over, at this moment; `byRunner`: the runner wanted it. */
  readonly onClosed: (byRunner: boolean) => void;
  /** The builder notices the end. */
  readonly onEnd: () => void;
}

/** The principal on some connection, as behind a proxy: nothing has joined on it. */
export function peerOf(principal: Principal): Peer {
  return { connectionId: 0, address: "simulated", token: undefined, principal, machineIds: new Set() };
}

/** Both ends, and the network between them. */
export class SimulatedTunnel implements TunnelConnection {
  readonly peer: Peer;
  readonly closed: Promise<string>;
  readonly #abort = new AbortController();
  readonly #time: WorldTime;
  readonly #events: TunnelEvents;
  readonly #pings: BuilderPing[] = [];
  #wake: (() => void) | undefined;
  #settleClosed: (reason: string) => void = () => undefined;
  #open = true;
  /** What is sent disappears without a sign: a network that swallows everything. */
  blackHole = false;

  constructor(time: WorldTime, machine: string, principal: Principal, events: TunnelEvents) {
    this.#time = time;
    this.#events = events;
    this.peer = { ...peerOf(principal), machineIds: new Set([machine]) };
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
  }

  get open(): boolean {
    return this.#open;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  send(order: RunnerOrder): boolean {
    if (!this.#open) return false;
    this.#events.onSend(order);
    this.#time.after(5, () => {
      if (this.#open && !this.blackHole) this.#events.onOrder(order);
    });
    return true;
  }

  ping(ping: BuilderPing): void {
    if (!this.#open || this.blackHole) return;
    this.#pings.push(ping);
    this.#wake?.();
  }

  /** By the runner. */
  close(reason: string): void {
    this.#close(reason, true);
  }

  /** By the builder, or by the network. */
  break(reason: string): void {
    this.#close(reason, false);
  }

  #close(reason: string, byRunner: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    this.#abort.abort(new Error(reason));
    this.#settleClosed(reason);
    this.#wake?.();
    this.#events.onClosed(byRunner);
    this.#time.after(5, this.#events.onEnd);
  }

  readonly messages: AsyncIterable<BuilderPing> = {
    [Symbol.asyncIterator]: () => ({
      next: async (): Promise<IteratorResult<BuilderPing>> => {
        for (;;) {
          if (!this.#open) return { done: true, value: undefined };
          const ping = this.#pings.shift();
          if (ping !== undefined) return { done: false, value: ping };
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      },
    }),
  };
}
