/** Logs the lines of `nix-support` files that were ignored. */
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { type NixSupportReport, printDroppedLine } from "../../nix-support/index.js";
import type { NixSupport } from "../../rpc/types.js";

/** Lines that one log entry names. */
const mostNamed = 10;

/** Logs a warning when lines of an output were ignored, and returns what counted. */
export function withoutDropped(
  { dropped, ...support }: NixSupportReport,
  path: StorePath,
  logger: Logger,
): NixSupport {
  if (dropped.length > 0) {
    logger.warn("lines in nix-support were ignored", {
      path,
      count: dropped.length,
      lines: dropped.slice(0, mostNamed).map(printDroppedLine),
    });
  }
  return support;
}
