/**
 * How many bytes of messages a server holds at a time: for each principal, and in all.
 *
 * Small messages and the rest of large ones have pools of their own, so that large messages cannot keep small ones out.
 * When a pool is full, the principal that holds most of it loses its largest incomplete message, unless that is the one
 * that asks: then it is refused itself. So one peer can neither fill the memory nor keep the others out.
 */
import { RpcError } from "../errors.js";

/** Bytes of each message that count as small. */
export const smallMessageBytes = 65_536;

/** How many bytes may be held at a time. */
export interface MessageBudgetOptions {
  /** Bytes of the small parts of all messages. Default 32 MiB. */
  readonly smallBytes?: number | undefined;
  /** Bytes beyond the small part of all messages; must hold the largest one. Default 56 MiB. */
  readonly largeBytes?: number | undefined;
}

type Pool = "small" | "large";

/** What one call holds. Give it back with `release`. */
export class MessageHold {
  readonly principal: string;
  readonly held: Record<Pool, number> = { small: 0, large: 0 };
  readonly #budget: MessageBudget;
  readonly #onEvicted: (error: RpcError) => void;
  #evicted: RpcError | undefined;
  #arriving = true;

  constructor(budget: MessageBudget, principal: string, onEvicted: (error: RpcError) => void) {
    this.#budget = budget;
    this.principal = principal;
    this.#onEvicted = onEvicted;
  }

  /** Whether its message is incomplete; only then is it evicted. */
  get arriving(): boolean {
    return this.#arriving;
  }

  /** @throws RpcError `resource-exhausted` when there is no room for so many further bytes */
  grow(bytes: number): void {
    if (this.#evicted !== undefined) throw this.#evicted;
    const small = Math.min(bytes, Math.max(0, smallMessageBytes - this.held.small));
    this.#budget.take(this, "small", small);
    this.#budget.take(this, "large", bytes - small);
  }

  /** The message has arrived: it is being worked on, and no longer evicted. */
  arrived(): void {
    this.#arriving = false;
  }

  /** Gives everything back; a further message may follow. */
  release(): void {
    this.#budget.giveBack(this);
    this.#arriving = true;
  }

  /** Ends the call that holds it. */
  evict(error: RpcError): void {
    this.#evicted = error;
    this.release();
    this.#onEvicted(error);
  }
}

/** The bytes of messages that a server holds, shared by all its calls. */
export class MessageBudget {
  readonly #limits: Readonly<Record<Pool, number>>;
  readonly #holds = new Set<MessageHold>();
  readonly #total: Record<Pool, number> = { small: 0, large: 0 };

  constructor(options: MessageBudgetOptions = {}) {
    const mebibyte = 1024 * 1024;
    this.#limits = {
      small: options.smallBytes ?? 32 * mebibyte,
      large: options.largeBytes ?? 56 * mebibyte,
    };
  }

  /** Bytes that are held now. */
  get heldBytes(): number {
    return this.#total.small + this.#total.large;
  }

  /** A hold of nothing yet. `onEvicted` is called when another principal needs the room more. */
  hold(principal: string, onEvicted: (error: RpcError) => void): MessageHold {
    return new MessageHold(this, principal, onEvicted);
  }

  /** For holds only. @throws RpcError `resource-exhausted` */
  take(hold: MessageHold, pool: Pool, bytes: number): void {
    if (bytes === 0) return;
    while (this.#total[pool] + bytes > this.#limits[pool]) {
      const victim = this.#victim(hold, pool, bytes);
      if (victim === undefined) throw exhausted();
      victim.evict(exhausted());
    }
    this.#holds.add(hold);
    this.#total[pool] += bytes;
    hold.held[pool] += bytes;
  }

  /** For holds only. */
  giveBack(hold: MessageHold): void {
    if (!this.#holds.delete(hold)) return;
    for (const pool of ["small", "large"] as const) {
      this.#total[pool] -= hold.held[pool];
      hold.held[pool] = 0;
    }
  }

  /** The largest incomplete message of the principal that holds most, if that is more than the asking one would hold. */
  #victim(asking: MessageHold, pool: Pool, bytes: number): MessageHold | undefined {
    const byPrincipal = new Map<string, number>();
    for (const { principal, held } of this.#holds) {
      byPrincipal.set(principal, (byPrincipal.get(principal) ?? 0) + held[pool]);
    }
    let most = (byPrincipal.get(asking.principal) ?? 0) + bytes;
    let victim: MessageHold | undefined;
    for (const hold of this.#holds) {
      if (!hold.arriving || hold.held[pool] === 0 || hold.principal === asking.principal) continue;
      const share = byPrincipal.get(hold.principal) ?? 0;
      if (share > most || (share === most && victim !== undefined && hold.held[pool] > victim.held[pool])) {
        most = share;
        victim = hold;
      }
    }
    return victim;
  }
}

function exhausted(): RpcError {
  return new RpcError("resource-exhausted", "too many bytes of messages are being received; try again later");
}
