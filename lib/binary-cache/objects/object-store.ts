/** What a binary cache needs of the place where its objects are. */
import { type ArgumentRule, having } from "../../argument-checks.js";
import type { Silence } from "../../async/index.js";
import type { TrafficCounters } from "./traffic.js";

/** What is known of an object without reading it. */
export interface ObjectFacts {
  /** Stored bytes. */
  readonly size: number;
  readonly contentEncoding: string | undefined;
}

/** An object that is being read. */
export interface StoredObject extends ObjectFacts {
  /** The stored bytes, not decoded. Reading it to the end or leaving it early frees the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** How an object is written. */
export interface PutOptions {
  readonly contentType: string;
  /** Undefined sends no header at all. */
  readonly contentEncoding?: string | undefined;
  /** Leave an object alone that is there already. Default false. */
  readonly ifAbsent?: boolean | undefined;
  /** About how many bytes will come, for the choice of part sizes. */
  readonly sizeHint?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A body whose pieces are filled again once they are given back: a fresh buffer for each costs more than writing it. */
export interface ReusedPieces extends AsyncIterable<Uint8Array> {
  /** The reader is done with `piece`. One that is never given back is the reader's. */
  release(piece: Uint8Array): void;
}

/** Gives `piece` back to `body`, if that wants it. */
export function releasePiece(
  body: AsyncIterable<Uint8Array> & Partial<Pick<ReusedPieces, "release">>,
  piece: Uint8Array,
): void {
  body.release?.(piece);
}

/** `signal` aborts the request and rejects with its reason. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Named objects. Writes are all or nothing: when the body throws, no object appears.
 *
 * All methods throw `BinaryCacheError` with store and key.
 */
export interface ObjectStore {
  /** Bucket name, or the folder. */
  readonly name: string;
  readonly traffic: TrafficCounters;
  /** Whether objects carry a Content-Encoding. */
  readonly keepsEncoding: boolean;
  /** Whether the server behind it answers; undefined where there is none. */
  readonly silence?: Silence | undefined;
  /** Size and encoding of an object; undefined when it is absent. */
  head(key: string, options?: ReadOptions): Promise<ObjectFacts | undefined>;
  /** Opens an object; undefined when it is absent. */
  get(key: string, options?: ReadOptions): Promise<StoredObject | undefined>;
  /** Writes an object. `present`: `ifAbsent` was set and the object existed, so nothing was written. */
  put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<"written" | "present">;
  /**
   * As `put`, but writes while `others` are still being written, and gives the object its name only once they resolve;
   * when they reject, so does this, and no object appears. Absent where an object cannot be written before it has a name.
   */
  putAfter?(
    others: Promise<unknown>,
    key: string,
    body: Uint8Array,
    options: PutOptions,
  ): Promise<"written" | "present">;
  /**
   * Has the server copy a NAR from `source` under the same key, over one that is there. False when that cannot be done
   * and the bytes have to go through us.
   */
  takeOver?(source: ObjectStore, key: string, options?: ReadOptions): Promise<boolean>;
  /** Closes connections; the store cannot be used afterwards. */
  close(): void;
}

/** An `ObjectStore`, as an argument. */
export const anObjectStore: ArgumentRule = having("an ObjectStore", ["head", "get", "put"]);
