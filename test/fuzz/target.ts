/** What is fuzzed: a reader of foreign bytes, with good inputs to start from. */

/** One reader under test. */
export interface FuzzTarget {
  readonly name: string;
  /** Good inputs; mutations start from them. */
  readonly seeds: readonly Uint8Array[];
  /** How often it is chosen, compared with the others. Slow targets get less. Default 1. */
  readonly weight?: number;
  /**
   * Reads the input. A typed error of the project is a good answer; everything else that is thrown is a finding. What
   * was read must also satisfy the format's own rules (`assert`).
   */
  run(input: Uint8Array): void | Promise<void>;
}

/** A property that does not hold: the input was read, but what came of it is wrong. */
class BrokenProperty extends Error {}

/** @throws BrokenProperty unless `holds` */
export function assert(holds: boolean, what: string): void {
  if (!holds) throw new BrokenProperty(what);
}
