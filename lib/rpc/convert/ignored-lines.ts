/**
 * How many notes about ignored `nix-support` lines the log of a build ends with, as metadata of the call that reports
 * it: the runner says in its log where to look. Peers that know nothing of it are not disturbed.
 */

/** Name of the metadata. */
export const ignoredLinesHeader = "hydra-ignored-lines";

/** The count; undefined when there is none that could be one. */
export function ignoredLinesFromHeader(value: string | readonly string[] | undefined): number | undefined {
  return typeof value === "string" && /^[1-9]\d{0,8}$/.test(value) ? Number(value) : undefined;
}
