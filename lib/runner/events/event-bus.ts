/**
 * Brings events from the parts of a runner to its listeners.
 *
 * Events are delivered in order, after the code that emits them has run to its end: a listener may call the runner, and
 * nothing that it does can disturb the change that it hears of. Listeners that throw, reject or are slow harm only
 * themselves.
 */
import {
  aFunction,
  aLogger,
  anAmount,
  aSignal,
  checkArgument,
  checkMembers,
  manyOf,
  oneOf,
  optional,
} from "../../argument-checks.js";
import { type Logger, silentLogger } from "../../log.js";
import { runnerEventNames } from "./event-names.js";
import { EventQueue, type EventStream, type EventStreamOptions } from "./event-stream.js";
import type { RunnerEvent, RunnerEventName, RunnerEvents } from "./runner-events.js";

/** Hears of events of one name. A promise that it returns is not waited for. */
export type RunnerListener<Name extends RunnerEventName> = (event: RunnerEvents[Name]) => unknown;

/** Ends a subscription; called again it does nothing. */
export interface Unsubscribe extends Disposable {
  (): void;
}

/** The part of an `EventBus` that those need who emit. */
export type EventEmitter = Pick<EventBus, "emit">;

const defaultLimit = 1_000;
/** Promises of one listener that may be pending; while there are more, it gets no events. */
const pendingAtMost = 1_000;

interface Subscription {
  readonly names: ReadonlySet<RunnerEventName> | undefined;
  readonly deliver: (event: RunnerEvent) => void;
}

const anEventName = oneOf(runnerEventNames);
const eventNames = manyOf(`a list of names of events: ${runnerEventNames.join(", ")}`, anEventName.accepts);

/** The events of one runner. */
export class EventBus {
  readonly #logger: Logger;
  readonly #subscriptions = new Set<Subscription>();
  readonly #streams = new Set<EventQueue>();
  #emitted: RunnerEvent[] = [];
  #closed = false;

  constructor(logger: Logger = silentLogger) {
    checkArgument("EventBus", "logger", logger, aLogger);
    this.#logger = logger;
  }

  /** Never throws, never calls a listener before it has returned. */
  emit(event: RunnerEvent): void {
    if (this.#subscriptions.size === 0) return;
    if (this.#emitted.push(event) === 1) queueMicrotask(() => this.#deliver());
  }

  /**
   * Calls `listener` for each event of that name. An error, also one that a returned promise rejects with, is logged
   * once for each listener. A listener with 1,000 pending promises misses events until some of them settle.
   */
  on<Name extends RunnerEventName>(name: Name, listener: RunnerListener<Name>): Unsubscribe {
    checkArgument("QueueRunner.on", "name", name, anEventName);
    checkArgument("QueueRunner.on", "listener", listener, aFunction);
    const guarded = new GuardedListener(name, listener as (event: RunnerEvent) => unknown, this.#logger);
    return this.#subscribe({
      names: new Set<RunnerEventName>([name]),
      deliver: (event) => guarded.call(event),
    });
  }

  /** Events from now on, in order. Ends with the runner. */
  events<Name extends RunnerEventName = RunnerEventName>(
    options: EventStreamOptions<Name> = {},
  ): EventStream<Name> {
    checkMembers("QueueRunner.events", options, {
      signal: optional(aSignal),
      names: optional(eventNames),
      limit: optional(anAmount),
    });
    const { signal, names, limit = defaultLimit } = options;
    const left = (): void => {
      unsubscribe();
      this.#streams.delete(stream);
      signal?.removeEventListener("abort", aborted);
    };
    const stream = new EventQueue(limit, {
      left,
      dropping: () => this.#logger.warn("a reader of events is too slow and misses events", { limit }),
    });
    const aborted = (): void => void stream.return();
    const unsubscribe = this.#subscribe({
      names: names === undefined ? undefined : new Set<RunnerEventName>(names),
      deliver: (event) => stream.push(event),
    });
    this.#streams.add(stream);
    if (signal?.aborted === true) aborted();
    else signal?.addEventListener("abort", aborted, { once: true });
    if (this.#closed) stream.end();
    // The subscription lets only events of these names through.
    return stream as EventStream as EventStream<Name>;
  }

  /** Delivers what was emitted, then ends the streams. */
  close(): void {
    this.#deliver();
    this.#closed = true;
    for (const stream of this.#streams) stream.end();
  }

  #subscribe(subscription: Subscription): Unsubscribe {
    this.#subscriptions.add(subscription);
    const end = (): void => void this.#subscriptions.delete(subscription);
    return Object.assign(end, { [Symbol.dispose]: end });
  }

  #deliver(): void {
    const events = this.#emitted;
    this.#emitted = [];
    for (const event of events) {
      for (const { names, deliver } of this.#subscriptions) {
        if (names === undefined || names.has(event.type)) deliver(event);
      }
    }
  }
}

/** One listener, kept from harming others. */
class GuardedListener {
  readonly #name: RunnerEventName;
  readonly #listener: (event: RunnerEvent) => unknown;
  readonly #logger: Logger;
  #pending = 0;
  #failed = false;
  #missed = 0;

  constructor(name: RunnerEventName, listener: (event: RunnerEvent) => unknown, logger: Logger) {
    this.#name = name;
    this.#listener = listener;
    this.#logger = logger;
  }

  call(event: RunnerEvent): void {
    if (this.#pending >= pendingAtMost) {
      this.#missed++;
      if (this.#missed === 1) this.#warn("a listener of events is too slow and misses some");
      return;
    }
    try {
      const answer = this.#listener(event);
      if (isThenable(answer)) void this.#settle(answer);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #settle(answer: PromiseLike<unknown>): Promise<void> {
    this.#pending++;
    try {
      await answer;
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pending--;
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#warn("a listener of events failed; further errors of it are not reported", error);
  }

  #warn(message: string, error?: unknown): void {
    this.#logger.warn(message, { event: this.#name, error });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
