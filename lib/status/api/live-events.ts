/**
 * `GET /api/events`: what happens, as server-sent events.
 *
 * All clients share one look at the runner each second, made only while there are clients: a `changed` event says which
 * answers are worth asking for again. Clients that name events of the runner get those too. A client that reads slowly
 * misses the oldest of what waits for it, and learns how many.
 */
import { pause } from "../../async/index.js";
import { StatusError } from "../errors.js";
import type { StatusSource } from "../types.js";
import { apiState, openProblems, readyIn } from "./overview.js";
import type { ApiSource } from "./source.js";
import type { ApiChanged, ApiTopic } from "./types.js";

/** Bounds; the defaults are those of production. */
export interface LiveEventsOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Clients at once. Default 200. */
  readonly maxClients?: number;
  /** Events kept for one client. Default 256. */
  readonly keptEvents?: number;
  /** Between two `changed` events, in milliseconds. Default 1,000. */
  readonly intervalMs?: number;
}

/** Looks at the runner between two signs of life, and between two events about machines. */
const heartbeatLooks = 15;
const machineLooks = 5;

/** The open streams of one runner. */
export class LiveEvents {
  readonly #source: StatusSource;
  readonly #api: ApiSource;
  readonly #options: Required<LiveEventsOptions>;
  readonly #clients = new Set<Client>();
  readonly #topics = new Set<ApiTopic>();
  #closed = false;
  #watching: AbortController | undefined;
  #counts = "";

  constructor(source: StatusSource, api: ApiSource, options: LiveEventsOptions) {
    this.#source = source;
    this.#api = api;
    this.#options = { maxClients: 200, keptEvents: 256, intervalMs: 1_000, ...options };
  }

  /** @throws StatusError `unavailable` when there are as many clients as may be, or the runner stops */
  check(): void {
    if (this.#closed) throw new StatusError("unavailable", "the runner is stopping");
    if (this.#clients.size < this.#options.maxClients) return;
    throw new StatusError("unavailable", `${this.#clients.size} clients listen already`);
  }

  /** A stream that begins with a `changed` event. `names`: events of the runner that are wanted besides. */
  open(names: ReadonlySet<string> | "all"): AsyncIterableIterator<string> {
    const client = new Client(this.#options.keptEvents, names, () => this.#left(client));
    if (this.#closed) client.end();
    else {
      this.#clients.add(client);
      client.push(this.#changed());
      if (this.#watching === undefined) void this.#watch();
    }
    return client;
  }

  /** Ends all streams; no new ones are opened. */
  close(): void {
    this.#closed = true;
    for (const client of [...this.#clients]) client.end();
  }

  #left(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#watching?.abort();
  }

  async #watch(): Promise<void> {
    const watching = new AbortController();
    const { signal } = watching;
    this.#watching = watching;
    this.#counts = this.#countsNow();
    const unlisten = this.#api.listen((event, topics) => {
      for (const topic of topics) this.#topics.add(topic);
      let text: string | undefined;
      for (const client of this.#clients) {
        if (!client.wants(event.type)) continue;
        text ??= print(event.type, event);
        client.push(text);
      }
    });
    for (let looks = 1; !signal.aborted; looks++) {
      await pause(this.#options.intervalMs, { signal, ref: false });
      if (signal.aborted) break;
      this.#look(looks);
    }
    unlisten();
    this.#watching = undefined;
    if (this.#clients.size > 0) void this.#watch();
  }

  #look(looks: number): void {
    const counts = this.#countsNow();
    if (counts !== this.#counts) for (const topic of countedTopics) this.#topics.add(topic);
    this.#counts = counts;
    if (looks % machineLooks === 0) this.#topics.add("machines");
    if (this.#topics.size > 0) this.#send(this.#changed());
    else if (looks % heartbeatLooks === 0) this.#send(": alive\n\n");
    this.#topics.clear();
  }

  #send(text: string): void {
    for (const client of this.#clients) client.push(text);
  }

  /** Changes without an event, such as builds that were queued. */
  #countsNow(): string {
    const { builds, steps } = this.#source.counts();
    return JSON.stringify([builds, steps, this.#source.reasonCounts(), this.#source.health().state]);
  }

  #changed(): string {
    const reasons = this.#source.reasonCounts();
    const data: ApiChanged = {
      now: this.#options.now(),
      ...apiState(this.#source, this.#api),
      topics: [...this.#topics],
      running: reasons.running,
      ready: readyIn(reasons),
      steps: this.#source.counts().steps,
      problems: openProblems(this.#source),
    };
    return print("changed", data);
  }
}

const countedTopics: readonly ApiTopic[] = ["overview", "queue", "builds", "jobsets"];

function print(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** One stream. */
class Client implements AsyncIterableIterator<string> {
  readonly #limit: number;
  readonly #names: ReadonlySet<string> | "all";
  readonly #onEnd: () => void;
  #kept: string[] = [];
  #dropped = 0;
  #waiting: ((result: IteratorResult<string>) => void) | undefined;
  #ended = false;

  constructor(limit: number, names: ReadonlySet<string> | "all", onEnd: () => void) {
    this.#limit = limit;
    this.#names = names;
    this.#onEnd = onEnd;
  }

  wants(name: string): boolean {
    return this.#names === "all" || this.#names.has(name);
  }

  push(text: string): void {
    if (this.#ended) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) {
      waiting({ done: false, value: text });
      return;
    }
    this.#kept.push(text);
    if (this.#kept.length <= this.#limit) return;
    this.#kept.shift();
    this.#dropped++;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#waiting?.({ done: true, value: undefined });
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<string>> {
    if (this.#kept.length > 0) {
      const missed = this.#dropped > 0 ? print("dropped", { count: this.#dropped }) : "";
      const value = missed + this.#kept.join("");
      this.#kept = [];
      this.#dropped = 0;
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  return(): Promise<IteratorResult<string>> {
    this.end();
    this.#kept = [];
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
