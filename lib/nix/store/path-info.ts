/** What a store knows of one valid path. */
import type { ContentAddress } from "../path/content-address.js";
import type { Hash } from "../path/hash.js";
import type { StorePath } from "../path/store-path.js";

/** What a store knows of a valid path; all of a narinfo but the stored file. */
export interface ValidPathInfo {
  readonly path: StorePath;
  readonly deriver: StorePath | undefined;
  /** SHA-256 of the uncompressed NAR. */
  readonly narHash: Hash;
  /** Sorted; may hold the path itself. */
  readonly references: readonly StorePath[];
  /** Seconds since the epoch; 0 = unknown. */
  readonly registrationTime: number;
  /** Bytes of the uncompressed NAR. */
  readonly narSize: number;
  /** Built here, so it needs no signature to be trusted here. */
  readonly ultimate: boolean;
  /** `<key name>:<base64>` */
  readonly signatures: readonly string[];
  readonly ca: ContentAddress | undefined;
}
