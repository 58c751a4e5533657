// Path infos of made-up paths.
import { hashBytes } from "../../lib/nix/path/hash.js";
import type { StorePath } from "../../lib/nix/path/store-path.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";

/** What a store knows of a path with this NAR and, but for `others`, nothing besides. */
export function pathInfo(
  path: StorePath,
  nar: Uint8Array,
  others: Partial<Omit<ValidPathInfo, "path">> = {},
): ValidPathInfo {
  return {
    path,
    deriver: undefined,
    narHash: hashBytes("sha256", nar),
    references: [],
    registrationTime: 0,
    narSize: nar.length,
    ultimate: false,
    signatures: [],
    ca: undefined,
    ...others,
  };
}
