// Where our pair does something else than the recorded one, on purpose.
import type { Row } from "../../support/hydra-tables.js";
import type { NormalForm } from "./normal-form.js";

export interface Difference {
  readonly name: string;
  /** Names of recorded cases in which it shows. */
  readonly cases: readonly string[];
  readonly reason: string;
  /** Makes of what was recorded what we do instead. */
  adapt(recorded: NormalForm): NormalForm;
}

/** Replaces cells of the rows of one table that `select` chooses. */
export function withCells(
  form: NormalForm,
  table: keyof NormalForm["rows"],
  select: (row: Row) => boolean,
  cells: Row,
): NormalForm {
  const rows = form.rows[table].map((row) => (select(row) ? { ...row, ...cells } : row));
  return { ...form, rows: { ...form.rows, [table]: rows } };
}

export const differences: readonly Difference[] = [];

export function adapted(name: string, recorded: NormalForm): NormalForm {
  return differences
    .filter((difference) => difference.cases.includes(name))
    .reduce((form, difference) => difference.adapt(form), recorded);
}
