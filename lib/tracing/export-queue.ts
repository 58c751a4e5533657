/**
 * Spans on their way to a collector. The queue is bounded and nothing waits for it: when the collector is away or slow,
 * new spans are dropped and counted. The log says once that it began and once how it ended.
 */
import { atMost, backoffDelay, pause } from "../async/index.js";
import type { Logger } from "../log.js";
import type { Collector, Delivery } from "./collector.js";
import { encodeSpans, type SpanSource } from "./otlp.js";
import type { Span } from "./span.js";

/** How spans are gathered. */
export interface ExportLimits {
  /** Spans that wait at most. */
  readonly queue: number;
  /** Spans in one request. */
  readonly batch: number;
  /** Milliseconds that a span waits for others at most. */
  readonly delayMs: number;
}

/** What a queue works with. */
export interface ExportQueueOptions {
  readonly collector: Pick<Collector, "send">;
  readonly source: SpanSource;
  readonly limits: ExportLimits;
  /** Of the collector, for the log; without secrets. */
  readonly endpoint: string;
  readonly logger: Logger;
}

/** Pauses between requests while the collector does not take any. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
/** A collector that asks for more patience than this gets it only up to here. */
const longestRetryAfterMs = 60_000;

/** Spans that wait, and what became of the others. */
export class ExportQueue {
  readonly #options: ExportQueueOptions;
  #waiting: Span[] = [];
  /** Ends the wait for more spans. */
  #wake = new AbortController();
  /** Ends the request and the pause under way. */
  readonly #stop = new AbortController();
  readonly #closed = new AbortController();
  readonly #work: Promise<void>;
  #dropped = 0;
  #rejected = 0;
  /** Requests without success in a row. */
  #failures = 0;
  /** `#dropped` when the trouble began. */
  #droppedBefore = 0;
  #refusalSaid = false;

  constructor(options: ExportQueueOptions) {
    this.#options = options;
    this.#work = this.#run();
  }

  /** Spans that were dropped so far: the queue was full, or the collector refused the request. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Spans that the collector received and did not want. */
  get rejected(): number {
    return this.#rejected;
  }

  /** Takes a span; when the queue is full, it is dropped. */
  add(span: Span): void {
    const { queue, batch } = this.#options.limits;
    if (this.#closing || this.#waiting.length >= queue) {
      this.#dropped++;
      return;
    }
    if (this.#waiting.push(span) >= batch) this.#wake.abort();
  }

  /** Sends what waits, once and for no longer than `timeoutMs`; what cannot be sent then is dropped. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed.abort();
    this.#wake.abort();
    await atMost(this.#work, timeoutMs);
    this.#stop.abort();
    await this.#work;
    this.#dropped += this.#waiting.length;
    this.#waiting = [];
    if (this.#dropped > 0) {
      this.#options.logger.warn("spans were dropped", {
        spans: this.#dropped,
        endpoint: this.#options.endpoint,
      });
    }
  }

  get #closing(): boolean {
    return this.#closed.signal.aborted;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { limits } = this.#options;
    for (;;) {
      if (this.#waiting.length < limits.batch && !this.#closing) {
        this.#wake = new AbortController();
        await pause(limits.delayMs, { signal: this.#wake.signal, ref: false });
      }
      if (this.#stop.signal.aborted) return;
      if (this.#waiting.length > 0) await this.#sendBatch();
      if (this.#closing && (this.#waiting.length === 0 || this.#failures > 0)) return;
    }
  }

  async #sendBatch(): Promise<void> {
    const { collector, source, limits } = this.#options;
    // It stays in the queue until it is delivered, so that it counts there.
    const batch = this.#waiting.slice(0, limits.batch);
    const delivery = await collector.send(encodeSpans(source, batch), this.#stop.signal);
    if (delivery.kind !== "later") this.#waiting.splice(0, batch.length);
    switch (delivery.kind) {
      case "taken":
        this.#taken(delivery);
        return;
      case "refused":
        this.#dropped += batch.length;
        this.#refused(delivery.reason);
        return;
      case "later":
        await this.#failed(delivery);
        return;
    }
  }

  #taken({ rejected, message }: Extract<Delivery, { readonly kind: "taken" }>): void {
    const { logger, endpoint } = this.#options;
    if (this.#failures > 0) {
      const dropped = this.#dropped - this.#droppedBefore;
      logger.info("traces are sent again", { endpoint, dropped });
      this.#failures = 0;
    }
    this.#refusalSaid = false;
    if (rejected > 0 && this.#rejected === 0) {
      logger.warn("the collector rejected some spans; further rejections are only counted", {
        endpoint,
        spans: rejected,
        reason: message,
      });
    }
    this.#rejected += rejected;
  }

  #refused(reason: string): void {
    if (this.#refusalSaid) return;
    this.#refusalSaid = true;
    const { logger, endpoint } = this.#options;
    logger.warn("the collector refuses traces; they are dropped", { endpoint, reason });
  }

  async #failed({ reason, afterMs }: Extract<Delivery, { readonly kind: "later" }>): Promise<void> {
    const { logger, endpoint } = this.#options;
    this.#failures++;
    if (this.#failures === 1) {
      this.#droppedBefore = this.#dropped;
      if (!this.#closing) logger.warn("traces cannot be sent; trying again", { endpoint, reason });
    }
    if (this.#closing) return;
    const own = backoffDelay(this.#failures, { firstMs: firstPauseMs, longestMs: longestPauseMs });
    const delayMs = Math.max(own, Math.min(afterMs, longestRetryAfterMs));
    await pause(delayMs, { signal: this.#closed.signal, ref: false });
  }
}
