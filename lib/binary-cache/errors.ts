/** Errors of binary caches. */
import { HydraError } from "../errors.js";

/**
 * `settings`: the URI cannot be used. `wrong-store`: the cache belongs to another store folder. `mismatch`: bytes are
 * not what was promised; trying again does not help. `missing`: an object that must be there is not.
 * `invalid-path`: a path to be uploaded is no longer in our store.
 * `denied`: the credentials do not suffice. `unavailable`: the store did not answer, or not as it should.
 */
export type BinaryCacheErrorCode =
  | "settings"
  | "wrong-store"
  | "mismatch"
  | "missing"
  | "invalid-path"
  | "denied"
  | "unavailable";

/** What goes wrong with a binary cache; `code` decides whether trying again can help. */
export class BinaryCacheError extends HydraError {
  readonly code: BinaryCacheErrorCode;
  /** Bucket or folder. */
  readonly store: string | undefined;
  readonly key: string | undefined;

  constructor(
    code: BinaryCacheErrorCode,
    message: string,
    options?: { readonly store?: string; readonly key?: string; readonly cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.store = options?.store;
    this.key = options?.key;
  }
}

/** An object that must be there is not. */
export function missingObject(store: string, key: string): BinaryCacheError {
  return new BinaryCacheError("missing", `'${key}' is not in the binary cache ${store}`, { store, key });
}

/** An object in an encoding that we do not know. */
export function unknownEncoding(store: string, key: string, encoding: string): BinaryCacheError {
  const message = `'${key}' in ${store} has the unknown encoding '${encoding}'`;
  return new BinaryCacheError("unavailable", message, { store, key });
}
