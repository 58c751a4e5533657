/**
 * The cause of a failure, as metadata of the call that reports it. The message of the contract has no place for it, and
 * peers that know nothing of it are not disturbed.
 */
import type { FailureCause } from "../types.js";

/** Name of the metadata. */
export const failureCauseHeader = "hydra-failure-cause";

const words: Readonly<Record<FailureCause, string>> = {
  transient: "transient",
  daemon: "daemon",
  untrusted: "untrusted",
  diskFull: "disk-full",
  inputs: "inputs",
  sandbox: "sandbox",
  other: "other",
};

const causes = new Map<string, FailureCause>(
  Object.entries(words).map(([cause, word]) => [word, cause as FailureCause]),
);

/** The value of the header. */
export function failureCauseToHeader(cause: FailureCause): string {
  return words[cause];
}

/** A cause that only a newer builder knows counts as none: the report itself is not to be lost for it. */
export function failureCauseFromHeader(
  value: string | readonly string[] | undefined,
): FailureCause | undefined {
  return typeof value === "string" ? causes.get(value) : undefined;
}
