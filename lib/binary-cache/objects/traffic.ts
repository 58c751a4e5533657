/** Counts the traffic with one store. */

/** Sums since the store was opened; the shape that the status API shows. */
export interface TrafficReport {
  readonly name: string;
  readonly puts: number;
  readonly putBytes: number;
  readonly putMs: number;
  readonly gets: number;
  readonly getBytes: number;
  readonly getMs: number;
  readonly heads: number;
}

/** Counts the traffic with one store; times are in milliseconds. */
export class TrafficCounters {
  #puts = 0;
  #putBytes = 0;
  #putMs = 0;
  #gets = 0;
  #getBytes = 0;
  #getMs = 0;
  #heads = 0;

  /** One whole object, however many requests it took. */
  put(bytes: number, milliseconds: number): void {
    this.#puts += 1;
    this.#putBytes += bytes;
    this.#putMs += milliseconds;
  }

  /** One object read, to its end or in part. */
  get(bytes: number, milliseconds: number): void {
    this.#gets += 1;
    this.#getBytes += bytes;
    this.#getMs += milliseconds;
  }

  /** One question whether an object is there. */
  head(): void {
    this.#heads += 1;
  }

  /** The sums so far, for the store called `name`. */
  report(name: string): TrafficReport {
    return {
      name,
      puts: this.#puts,
      putBytes: this.#putBytes,
      putMs: Math.round(this.#putMs),
      gets: this.#gets,
      getBytes: this.#getBytes,
      getMs: Math.round(this.#getMs),
      heads: this.#heads,
    };
  }
}
