/** Work that many do at once, of which a turn of the event loop takes only so much in all. */

/**
 * Counts work in units of its own, bytes for example. Who asks goes on at once while the turn's share lasts; after that
 * each waits, in order of asking, for a turn with something left. One piece may be larger than the share.
 */
export class TurnShare {
  readonly #perTurn: number;
  readonly #waiting: { readonly units: number; readonly goOn: () => void }[] = [];
  #left: number;
  #scheduled = false;

  /** `perTurn`: units in one turn, above 0. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
  }

  /** Undefined when the work may be done at once, or a promise to wait for before it is. */
  take(units: number): Promise<void> | undefined {
    this.#schedule();
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left -= units;
      return undefined;
    }
    return new Promise((goOn) => this.#waiting.push({ units, goOn }));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#next();
    });
  }

  #next(): void {
    this.#left = this.#perTurn;
    let served = 0;
    for (const { units, goOn } of this.#waiting) {
      if (this.#left <= 0) break;
      this.#left -= units;
      served++;
      goOn();
    }
    this.#waiting.splice(0, served);
    // What was used now counts until the next turn.
    if (served > 0) this.#schedule();
  }
}
