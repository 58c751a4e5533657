/** Events for a consumer that reads at its own pace: kept up to a limit, the oldest dropped beyond it. */
import type { RunnerEvent, RunnerEventName, RunnerEvents } from "./runner-events.js";

/** What a stream of events is opened with. */
export interface EventStreamOptions<Name extends RunnerEventName = RunnerEventName> {
  /** Ends the stream as soon as it aborts; the iteration then ends without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Names of the events wanted. Default: all. */
  readonly names?: readonly Name[] | undefined;
  /** Events kept for a slow reader. Default 1,000. */
  readonly limit?: number | undefined;
}

/** Events in order, for one reader; `for await` ends it when left. */
export interface EventStream<Name extends RunnerEventName = RunnerEventName>
  extends AsyncIterableIterator<RunnerEvents[Name]> {
  /** Events that this reader missed so far because it was too slow. */
  readonly dropped: number;
  return(): Promise<IteratorResult<RunnerEvents[Name]>>;
}

/** How an event gets into a stream, and the stream's end. */
export interface StreamSource {
  /** Called once, when the reader has left. */
  readonly left: () => void;
  /** Called when the first event was dropped. */
  readonly dropping: () => void;
}

type Waiting = (result: IteratorResult<RunnerEvent>) => void;

/** The queue behind one reader. */
export class EventQueue implements EventStream {
  readonly #limit: number;
  readonly #source: StreamSource;
  #kept: (RunnerEvent | undefined)[] = [];
  /** Events before this index were read or dropped. */
  #first = 0;
  readonly #waiting: Waiting[] = [];
  #dropped = 0;
  #ended = false;

  constructor(limit: number, source: StreamSource) {
    this.#limit = limit;
    this.#source = source;
  }

  get dropped(): number {
    return this.#dropped;
  }

  push(event: RunnerEvent): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ done: false, value: event });
      return;
    }
    this.#kept.push(event);
    if (this.#kept.length - this.#first <= this.#limit) return;
    this.#take();
    this.#dropped++;
    if (this.#dropped === 1) this.#source.dropping();
  }

  /** No more events follow; what is kept can still be read. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#source.left();
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<RunnerEvent>> {
    const event = this.#take();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<RunnerEvent>> {
    this.#kept = [];
    this.#first = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): RunnerEvent | undefined {
    const event = this.#kept[this.#first];
    if (event === undefined) return undefined;
    this.#kept[this.#first++] = undefined;
    // Moving the rest now and then costs less than at each event.
    if (this.#first > this.#limit) {
      this.#kept = this.#kept.slice(this.#first);
      this.#first = 0;
    }
    return event;
  }
}
