/** What happens to uploads, as events: tries that failed, and the end of each upload with all its tries. */
import type { UploadJob, UploadTry } from "../../../binary-cache/index.js";
import { errorChain } from "../../../errors.js";
import type { EventEmitter, EventUpload, StoreUpload, UploadAttempt } from "../../events/index.js";

/** An outage may last for days, with a try every five minutes. */
const triesKept = 20;

interface Tried {
  tries: number;
  readonly lastTries: UploadAttempt[];
}

interface OpenUpload {
  readonly since: number;
  /** By the name of the cache. */
  readonly stores: Map<string, Tried>;
}

/** Emits the events of uploads. */
export class UploadEvents {
  readonly #events: EventEmitter;
  readonly #now: () => number;
  /** Uploads that were tried and are not over, by the id of their job. */
  readonly #open = new Map<string, OpenUpload>();

  /** `now`: milliseconds since the epoch. */
  constructor(events: EventEmitter, now: () => number = Date.now) {
    this.#events = events;
    this.#now = now;
  }

  /** A try has just ended. */
  tried({ job, cache: { name: store }, ms, outcome }: UploadTry): void {
    const at = this.#now();
    const { stores } = this.#openUpload(job, at - ms);
    const tried = stores.get(store) ?? { tries: 0, lastTries: [] };
    stores.set(store, tried);
    tried.tries++;
    tried.lastTries.push({ at, ms, outcome: outcomeOf(outcome) });
    if (tried.lastTries.length > triesKept) tried.lastTries.shift();
    if (outcome.kind === "uploaded" || !outcome.retried) return;
    const reason = errorChain(outcome.error);
    this.#events.emit({ type: "uploadRetried", at, ...about(job), store, ms, reason });
  }

  /** An upload is over. There is no event for one that no cache was tried for. */
  done(job: UploadJob, error: Error | undefined): void {
    const upload = this.#open.get(job.id);
    if (upload === undefined) return;
    this.#open.delete(job.id);
    const at = this.#now();
    this.#events.emit({
      type: "uploadFinished",
      at,
      ...about(job),
      ms: Math.max(0, at - upload.since),
      outcome: error === undefined ? { kind: "uploaded" } : { kind: "failed", reason: errorChain(error) },
      stores: [...upload.stores].map(([store, tried]): StoreUpload => ({ store, ...tried })),
    });
  }

  #openUpload(job: UploadJob, since: number): OpenUpload {
    const known = this.#open.get(job.id);
    if (known !== undefined) return known;
    const upload: OpenUpload = { since, stores: new Map() };
    this.#open.set(job.id, upload);
    return upload;
  }
}

function about({ paths, log }: UploadJob): EventUpload {
  return { paths, ...(log === undefined ? {} : { drv: log.drv }) };
}

function outcomeOf(outcome: UploadTry["outcome"]): UploadAttempt["outcome"] {
  switch (outcome.kind) {
    case "uploaded": {
      const bytes = outcome.narBytes === undefined ? {} : { bytes: outcome.narBytes };
      return { kind: "uploaded", written: outcome.paths.length, ...bytes };
    }
    case "failed":
      return { kind: "failed", reason: errorChain(outcome.error) };
  }
}
