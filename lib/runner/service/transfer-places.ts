/**
 * Places for the transfers of builders. A transfer takes a connection to the store's daemon and often a process for its
 * compression, and lasts as long as its peer likes, so there is only a number of them at a time; and one that stands
 * still because of its peer loses its place as soon as others wait for one. So does one that is slow because of its peer,
 * if that has more places than one who waits: two who keep all places with a trickle stop no third.
 */
import { RpcError } from "../../rpc/index.js";
import { Groups } from "../state/groups.js";

/** How many transfers there may be. */
export interface TransferPlacesOptions {
  /** Transfers at a time. Default 16. */
  readonly places?: number;
  /** Those of one principal, while there are others. Default: three quarters of `places`. */
  readonly mostOfOne?: number;
  /** Whether machines of several principals have joined. */
  readonly isShared: () => boolean;
  /** How long a peer may keep a transfer waiting while others wait for a place, in milliseconds. Default 30 s. */
  readonly patienceMs?: number;
  /** Milliseconds; only differences matter. Default `performance.now`. */
  readonly now?: () => number;
}

/** Bytes that have to be moved within the patience; fewer count as standing still. */
const leastMoved = 65_536;
/** With fewer a transfer is slow: 100 KB/s. */
const briskMoved = 3_000_000;
const defaultPlaces = 16;
const defaultPatienceMs = 30_000;
/** How often it is looked for transfers that stand still, in milliseconds. */
const lookEveryMs = 1_000;

interface Waiter {
  readonly who: string;
  /** Those that came before have smaller ones. */
  readonly turn: number;
  readonly grant: (place: TransferPlace) => void;
}

/** How long a peer has let a transfer wait without having moved enough bytes. */
class Pace {
  readonly #enough: number;
  #moved = 0;
  /** Milliseconds. */
  waitedMs = 0;

  constructor(enough: number) {
    this.#enough = enough;
  }

  moved(bytes: number, waitedMs: number): void {
    this.waitedMs += waitedMs;
    this.#moved += bytes;
    if (this.#moved < this.#enough) return;
    this.#moved = 0;
    this.waitedMs = 0;
  }
}

/** A transfer's place, until it is disposed of. */
export class TransferPlace implements Disposable {
  readonly who: string;
  readonly #revoked = new AbortController();
  readonly #now: () => number;
  readonly #over: (place: TransferPlace) => void;
  /** When the wait for the peer began that is under way. */
  #waitingSince: number | undefined;
  readonly #still = new Pace(leastMoved);
  readonly #slow = new Pace(briskMoved);

  constructor(who: string, now: () => number, over: (place: TransferPlace) => void) {
    this.who = who;
    this.#now = now;
    this.#over = over;
  }

  /** Aborts with an `RpcError` when the place was taken away. */
  get signal(): AbortSignal {
    return this.#revoked.signal;
  }

  /** How long its peer has let it wait for no more than a few bytes, in milliseconds. */
  get stillMs(): number {
    return this.#still.waitedMs + this.#waitMs();
  }

  /** How long its peer has let it wait for less than a brisk transfer moves in that time, in milliseconds. */
  get slowMs(): number {
    return this.#slow.waitedMs + this.#waitMs();
  }

  /** Of the wait that is under way. */
  #waitMs(): number {
    return this.#waitingSince === undefined ? 0 : this.#now() - this.#waitingSince;
  }

  /** From here on it is up to the peer. */
  waits(): void {
    this.#waitingSince ??= this.#now();
  }

  /** The peer has taken or sent so many bytes. */
  moved(bytes: number): void {
    const waitedMs = this.#waitMs();
    this.#waitingSince = undefined;
    this.#still.moved(bytes, waitedMs);
    this.#slow.moved(bytes, waitedMs);
  }

  /** Takes the place away. */
  revoke(): void {
    this.#revoked.abort(
      new RpcError("unavailable", "the transfer went on too slowly while others waited for theirs"),
    );
    this.#over(this);
  }

  [Symbol.dispose](): void {
    this.#over(this);
  }
}

/** The places of one runner. */
export class TransferPlaces {
  readonly #options: Required<TransferPlacesOptions>;
  readonly #taken = new Set<TransferPlace>();
  /** By who waits: one principal may wait with thousands, which are not looked through. */
  readonly #waiting = new Groups<string, Waiter>();
  #waitingCount = 0;
  #lastTurn = 0;
  #looking: NodeJS.Timeout | undefined;

  constructor(options: TransferPlacesOptions) {
    const { places = defaultPlaces } = options;
    this.#options = {
      places,
      mostOfOne: Math.ceil((3 * places) / 4),
      patienceMs: defaultPatienceMs,
      now: () => performance.now(),
      ...options,
    };
  }

  /** Transfers that have a place, and those that wait for one. */
  get counts(): { readonly taken: number; readonly waiting: number } {
    return { taken: this.#taken.size, waiting: this.#waitingCount };
  }

  /**
   * A place for a transfer of `who`, as soon as there is one. `mostWaiting`: of `who` at a time; asked for when there is none.
   *
   * @throws RpcError `resource-exhausted` when so many wait already; the signal's reason when it aborts before
   */
  async take(
    who: string,
    signal: AbortSignal,
    mostWaiting: () => number = () => Number.POSITIVE_INFINITY,
  ): Promise<TransferPlace> {
    signal.throwIfAborted();
    if (this.#isFree(who)) return this.#place(who);
    const waiting = this.#waiting.get(who).size;
    if (waiting >= mostWaiting())
      throw new RpcError("resource-exhausted", `${waiting} transfers of this builder wait already`);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#stopWaiting(waiter);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        who,
        turn: ++this.#lastTurn,
        grant: (place) => {
          signal.removeEventListener("abort", onAbort);
          resolve(place);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(who, waiter);
      this.#waitingCount += 1;
      this.#look();
    });
  }

  #stopWaiting(waiter: Waiter): void {
    if (this.#waiting.delete(waiter.who, waiter)) this.#waitingCount -= 1;
  }

  #isFree(who: string): boolean {
    const { places, mostOfOne, isShared } = this.#options;
    if (this.#taken.size >= places) return false;
    return countOf(who, this.#taken) < mostOfOne || !isShared();
  }

  #place(who: string): TransferPlace {
    const place = new TransferPlace(who, this.#options.now, (over) => {
      if (this.#taken.delete(over)) this.#serve();
    });
    this.#taken.add(place);
    return place;
  }

  /** First those who have the fewest places, in the order in which they came. */
  #serve(): void {
    for (;;) {
      const next = this.#neediest((who) => this.#isFree(who));
      if (next === undefined) return;
      this.#stopWaiting(next);
      next.grant(this.#place(next.who));
    }
  }

  #neediest(may: (who: string) => boolean): Waiter | undefined {
    let neediest: Waiter | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    // Of each who waits, the first to come stands for all.
    for (const [waiter] of this.#waiting.all()) {
      if (waiter === undefined) continue;
      const has = countOf(waiter.who, this.#taken);
      if (has > fewest || (has === fewest && neediest !== undefined && waiter.turn > neediest.turn)) continue;
      if (!may(waiter.who)) continue;
      fewest = has;
      neediest = waiter;
    }
    return neediest;
  }

  /** The transfer that others need not wait for any longer. */
  #tooSlow(): TransferPlace | undefined {
    const { patienceMs } = this.#options;
    const still = slowest(this.#taken, ({ stillMs }) => stillMs);
    if (still !== undefined && still.stillMs >= patienceMs) return still;
    const neediest = this.#neediest(() => true);
    if (neediest === undefined || this.#isFree(neediest.who)) return undefined;
    const has = countOf(neediest.who, this.#taken);
    const ofGreedy = [...this.#taken].filter(({ who }) => countOf(who, this.#taken) > has + 1);
    const slow = slowest(ofGreedy, ({ slowMs }) => slowMs);
    return slow !== undefined && slow.slowMs >= patienceMs ? slow : undefined;
  }

  /** As long as there are transfers that wait, those that stand still are looked for. */
  #look(): void {
    if (this.#looking !== undefined) return;
    this.#looking = setInterval(() => {
      // A principal may have become the only one meanwhile.
      this.#serve();
      if (this.#waitingCount === 0) {
        clearInterval(this.#looking);
        this.#looking = undefined;
        return;
      }
      this.#tooSlow()?.revoke();
    }, lookEveryMs);
    this.#looking.unref();
  }
}

function slowest(
  places: Iterable<TransferPlace>,
  waitedMs: (place: TransferPlace) => number,
): TransferPlace | undefined {
  let found: TransferPlace | undefined;
  for (const place of places) if (found === undefined || waitedMs(place) > waitedMs(found)) found = place;
  return found;
}

function countOf(who: string, all: Iterable<{ readonly who: string }>): number {
  let count = 0;
  for (const one of all) if (one.who === who) count++;
  return count;
}

/** Passes on what is sent to a peer; each piece is up to the peer until the next is asked for. */
export async function* sentInPlace(
  place: TransferPlace,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    place.waits();
    yield piece;
    place.moved(piece.length);
  }
}

/** Passes on what a peer sends; between two pieces it is up to the peer. */
export async function* receivedInPlace(
  place: TransferPlace,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const source = pieces[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      place.signal.throwIfAborted();
      place.waits();
      const next = await source.next();
      place.moved(next.done === true ? 0 : next.value.length);
      if (next.done === true) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    // Not awaited: it may be waiting for data that need not come.
    if (!ended) void source.return?.()?.then(undefined, () => undefined);
  }
}
