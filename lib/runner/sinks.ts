/** Where an embedder's own code takes part: logs and results as they come, binary caches of its own. */
import { atMost } from "../async/index.js";
import type { BinaryCache } from "../binary-cache/index.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/path/store-path.js";
import type {
  BuildFinished,
  BuildStarted,
  EventBus,
  EventStream,
  EventTry,
  StepFinished,
} from "./events/index.js";

/** A part of a build log. */
export interface LogChunk {
  readonly drv: StorePath;
  /** Id of the build that the step is accounted to. */
  readonly build: number;
  /** Hostname of the machine that builds. */
  readonly machine: string;
  /** Number of the try, from 1. */
  readonly try: number;
  /** Bytes of this log before these; 0 again when a log that was cut off comes again from its start. */
  readonly offset: number;
  /** As the build printed them; a character may be cut in two. Not to be kept without a copy. */
  readonly bytes: Uint8Array;
}

/** A try whose order is about to be sent, or one that a builder has not stopped. */
export interface TracedOrder extends EventTry {
  /** Id of the attempt. A secret between the runner and the builder: it proves that a report belongs to the attempt. */
  readonly attempt: string;
}

/**
 * Own code that is notified of what Hydra's front-end is notified of. The methods are called one at a time, in order; the
 * next when the returned promise settles. An error is logged and the notification not given again. Up to 10,000 wait, the
 * oldest are dropped beyond that, which the log says; closing waits for them for ten seconds.
 */
export interface Notifier {
  /** The first step of a build runs, and the database has it. */
  buildStarted?(event: BuildStarted): unknown;
  /** A step is over; for failed ones, after the last try. */
  stepFinished?(event: StepFinished): unknown;
  /** The result of a build is in the database. */
  buildFinished?(event: BuildFinished): unknown;
}

/** Names of what a notifier may hear of. */
export const notifierMethods = ["buildStarted", "stepFinished", "buildFinished"] as const;

/** Own code beside the log store, the front-end's notifications and the configured caches. */
export interface RunnerSinks {
  /**
   * Gets every log, part by part, after it was written. The next part of the same log is read when the returned promise
   * settles: a slow sink slows the log, and in the end the build. One that fails gets no more of that log; the log says it.
   */
  readonly onLog?: ((chunk: LogChunk) => unknown) | undefined;
  /** Gets the result of every build, after it is in the database: a `notifier` with nothing but `buildFinished`. */
  readonly onResult?: ((result: BuildFinished) => unknown) | undefined;
  /** Notified besides Hydra's front-end, of builds and steps. */
  readonly notifier?: Notifier | undefined;
  /**
   * Binary caches that outputs go to besides those of `remoteStoreAddr`; see `binaryCacheOn`. Their names must differ.
   * The runner does not close them.
   */
  readonly caches?: readonly BinaryCache[] | undefined;
  /**
   * The trace that a builder is to work in, as W3C `traceparent`; undefined: none. Called for each order, before
   * `stepStarted`; for a build that is adopted the answer is not used. A builder that knows nothing of it is not disturbed.
   * `RunnerTracing` of `hydra-runner/tracing` is made for this.
   */
  readonly traceOrder?: ((order: TracedOrder) => string | undefined) | undefined;
}

/** The same hook, which never throws: what it throws is logged once. */
export function guardedTraceOrder(
  hook: RunnerSinks["traceOrder"],
  logger: Logger,
): RunnerSinks["traceOrder"] {
  if (hook === undefined) return undefined;
  let reported = false;
  return (order) => {
    try {
      return hook(order);
    } catch (error) {
      if (!reported) logger.warn("traceOrder failed; further errors of it are not reported", { error });
      reported = true;
      return undefined;
    }
  };
}

const notificationsKept = 10_000;
const lastNotificationsMs = 10_000;

/** Notifies one notifier of one thing after the other. */
export class NotifierFeed {
  readonly #notifier: Notifier;
  readonly #logger: Logger;
  readonly #stream: EventStream<(typeof notifierMethods)[number]>;
  readonly #fed: Promise<void>;
  #happened = 0;
  #given = 0;

  constructor(events: EventBus, notifier: Notifier, logger: Logger) {
    this.#notifier = notifier;
    this.#logger = logger;
    const names = notifierMethods.filter((name) => notifier[name] !== undefined);
    for (const name of names) events.on(name, () => void this.#happened++);
    this.#stream = events.events({ names, limit: notificationsKept });
    this.#fed = this.#feed();
  }

  /** Notifications that have not been given yet. */
  get waiting(): number {
    return this.#happened - this.#given - this.#stream.dropped;
  }

  /** Waits for the last notifications, within reason; call it after the events have ended. */
  async close(): Promise<void> {
    await atMost(this.#fed, lastNotificationsMs);
  }

  async #feed(): Promise<void> {
    for await (const event of this.#stream) {
      try {
        await notify(this.#notifier, event);
      } catch (error) {
        this.#report(event, error);
      }
      this.#given++;
    }
  }

  #report(event: BuildStarted | StepFinished | BuildFinished, error: unknown): void {
    if (event.type === "buildFinished")
      this.#logger.error("the sink did not take a result", { build: event.build, error });
    else this.#logger.error("the notifier did not take a notification", { of: event.type, error });
  }
}

function notify(notifier: Notifier, event: BuildStarted | StepFinished | BuildFinished): unknown {
  switch (event.type) {
    case "buildStarted":
      return notifier.buildStarted?.(event);
    case "stepFinished":
      return notifier.stepFinished?.(event);
    case "buildFinished":
      return notifier.buildFinished?.(event);
  }
}

/** The notifiers that sinks amount to. */
export function notifiersOf({
  onResult,
  notifier,
}: Pick<RunnerSinks, "onResult" | "notifier">): readonly Notifier[] {
  return [
    ...(onResult === undefined ? [] : [{ buildFinished: onResult }]),
    ...(notifier === undefined ? [] : [notifier]),
  ];
}
