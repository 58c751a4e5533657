/** What views get. */

/** The parts of a view's address that stand for something, in order. */
export interface ViewProps {
  readonly parts: readonly string[];
}
