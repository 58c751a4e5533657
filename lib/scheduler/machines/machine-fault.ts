/** The faults of machines that a breaker counts. */

/**
 * What can be wrong with a machine, by what was seen:
 * - `connection`: lost, or the machine did not answer in time
 * - `daemon`: its Nix daemon is gone or does not answer
 * - `untrusted`: its Nix daemon does not trust the builder
 * - `diskFull`
 * - `inputs`: they could not be transferred to it
 * - `sandbox`: it cannot be made
 * - `falseReport`: it reported other outputs than those it was to build
 */
export type MachineFault =
  | "connection"
  | "daemon"
  | "untrusted"
  | "diskFull"
  | "inputs"
  | "sandbox"
  | "falseReport";
