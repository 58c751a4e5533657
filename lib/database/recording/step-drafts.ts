/** Inserting step rows whose numbers are chosen here. */
import { RecordingError } from "./errors.js";
import type { SqlSession } from "./session.js";
import type { StepNumbers } from "./step-numbers.js";
import { insertSteps, type NewStepRow } from "./step-rows.js";

/**
 * A row to be inserted. The number is chosen at the first try and kept for repetitions of the transaction, which
 * thereby find out that an earlier try was committed after all.
 */
export interface StepDraft {
  readonly row: Omit<NewStepRow, "stepNumber">;
  stepNumber: number | undefined;
}

/** The number that a row got, or why it was not written. */
export type DraftResult = "written" | "present" | "gone";

/** A draft of a row; its step number is chosen when it is written. */
export function stepDraft(row: Omit<NewStepRow, "stepNumber">): StepDraft {
  return { row, stepNumber: undefined };
}

const tries = 10;

/**
 * Inserts the drafts, numbers of one build rising in their order. Answers in the order of `drafts`.
 *
 * @throws RecordingError `step-number` when other writers took every number
 */
export async function insertDrafts(
  session: SqlSession,
  numbers: StepNumbers,
  drafts: readonly StepDraft[],
): Promise<DraftResult[]> {
  const results = new Map<StepDraft, DraftResult>();
  let open: readonly StepDraft[] = drafts;
  await numbers.load(
    session,
    drafts.filter((draft) => draft.stepNumber === undefined).map((draft) => draft.row.build),
  );
  for (let round = 0; open.length > 0; round++) {
    if (round === tries) {
      const builds = [...new Set(open.map((draft) => draft.row.build))].slice(0, 5).join(", ");
      throw new RecordingError("step-number", `no free step number found for build ${builds}`);
    }
    const rows = open.map((draft): NewStepRow => {
      draft.stepNumber ??= numbers.next(draft.row.build);
      return { ...draft.row, stepNumber: draft.stepNumber };
    });
    const insertions = await insertSteps(session, rows);
    const taken: StepDraft[] = [];
    open.forEach((draft, index) => {
      const insertion = insertions[index] ?? "taken";
      if (insertion === "taken") taken.push(draft);
      else results.set(draft, insertion);
    });
    for (const draft of taken) draft.stepNumber = undefined;
    if (taken.length > 0)
      await numbers.reload(
        session,
        taken.map((draft) => draft.row.build),
      );
    open = taken;
  }
  return drafts.map((draft) => results.get(draft) ?? "gone");
}
