/** The transaction that makes started steps visible: busy rows and the notifications of their start. */
import { buildStarted, type Notification, sendNotifications, stepStarted } from "./notifications.js";
import type { SqlSession } from "./session.js";
import { type DraftResult, insertDrafts, type StepDraft } from "./step-drafts.js";
import type { StepNumbers } from "./step-numbers.js";

/** A step that starts, and the builds that start with it. */
export interface StartedStep {
  readonly draft: StepDraft;
  /** Builds that have not been announced as started before. */
  readonly announce: readonly number[];
}

/** Inserts the rows; those of deleted builds are left out. Answers in the order of `steps`. */
export async function recordStarts(
  session: SqlSession,
  numbers: StepNumbers,
  steps: readonly StartedStep[],
): Promise<DraftResult[]> {
  const results = await insertDrafts(
    session,
    numbers,
    steps.map((step) => step.draft),
  );
  const notifications: Notification[] = [];
  steps.forEach(({ draft, announce }, index) => {
    if (results[index] !== "written" || draft.stepNumber === undefined) return;
    notifications.push(stepStarted(draft.row.build, draft.stepNumber));
    for (const build of announce) notifications.push(buildStarted(build));
  });
  await sendNotifications(session, notifications);
  return results;
}
