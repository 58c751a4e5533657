/**
 * The transaction of everything that ends: a step, the builds it decides, and what is said about it.
 *
 * Rows of steps and builds, products, metrics and notifications are committed together. Every part is guarded by the
 * state it changes (`busy <> 0`, `finished = 0`), so a repetition after a lost answer changes and says nothing.
 */
import { type BuildEnd, endBuilds, type LockedBuild, lockBuilds, rememberFailedPaths } from "./build-rows.js";
import { buildsFinished, type Notification, sendNotifications, stepFinished } from "./notifications.js";
import type { SqlSession } from "./session.js";
import { insertDrafts, type StepDraft } from "./step-drafts.js";
import type { StepNumbers } from "./step-numbers.js";
import { endSteps, type StepEnd } from "./step-rows.js";

/** What is recorded together when a step or some builds end. */
export interface Outcome {
  /** The running row that ends, and the file of its log. */
  readonly step?: (StepEnd & { readonly logPath: string | undefined }) | undefined;
  /** Builds that end, in the order in which they are announced. */
  readonly builds: readonly BuildEnd[];
  /** One notification for all builds (a failure that many share) instead of one for each. */
  readonly together?: boolean | undefined;
  /** Rows for builds that end here and have none of the step; only inserted when the build still is unfinished. */
  readonly copies?: readonly StepDraft[] | undefined;
  readonly failedPaths?: readonly string[] | undefined;
}

/** What became of the builds of an outcome. */
export interface OutcomeResult {
  /** Status by build: ours, or the one that was recorded first; absent for builds that were deleted. */
  readonly statuses: ReadonlyMap<number, number>;
}

/** Records outcomes in one transaction; answers in the order of `outcomes`. */
export async function recordOutcomes(
  session: SqlSession,
  numbers: StepNumbers,
  outcomes: readonly Outcome[],
): Promise<OutcomeResult[]> {
  const ends = new Map<number, BuildEnd>();
  for (const outcome of outcomes) {
    for (const end of outcome.builds) if (!ends.has(end.id)) ends.set(end.id, end);
  }
  const copies = outcomes.flatMap((outcome) => outcome.copies ?? []);
  // Builds that rows refer to are locked with the others, or the order would be broken later.
  const referred = copies.flatMap(({ row }) =>
    row.propagatedFrom === undefined ? [] : [row.propagatedFrom],
  );
  const steps = outcomes.flatMap((outcome) => (outcome.step === undefined ? [] : [outcome.step]));
  // What needs no answer of each other's is sent together; the server runs it in this order.
  const [locked, endedSteps] = await Promise.all([
    lockBuilds(session, [...new Set([...ends.keys(), ...referred])]),
    endSteps(session, steps),
  ]);
  const unfinished = new Set(
    [...ends.keys()].filter((id) => {
      const build = locked.get(id);
      return build !== undefined && !build.finished;
    }),
  );
  const ended = new Set(endedSteps.map(({ build, stepNumber }) => `${build}/${stepNumber}`));
  await insertDrafts(
    session,
    numbers,
    copies.filter((draft) => unfinished.has(draft.row.build)),
  );
  const failedPaths = [...new Set(outcomes.flatMap((outcome) => outcome.failedPaths ?? []))].sort();
  const ending = [...ends.values()].filter((end) => unfinished.has(end.id));
  const notifications = announcements(outcomes, ended, unfinished);
  await Promise.all([
    rememberFailedPaths(session, failedPaths),
    endBuilds(session, ending),
    sendNotifications(session, notifications),
  ]);
  return outcomes.map(({ builds }) => ({ statuses: statusesOf(builds, ends, locked) }));
}

function announcements(
  outcomes: readonly Outcome[],
  endedSteps: ReadonlySet<string>,
  endedBuilds: ReadonlySet<number>,
): Notification[] {
  const notifications: Notification[] = [];
  const announced = new Set<number>();
  for (const { step, builds, together } of outcomes) {
    if (step !== undefined && endedSteps.has(`${step.build}/${step.stepNumber}`)) {
      notifications.push(stepFinished(step.build, step.stepNumber, step.logPath));
    }
    const ids = builds.map((end) => end.id).filter((id) => endedBuilds.has(id) && !announced.has(id));
    for (const id of ids) announced.add(id);
    if (together === true) notifications.push(...buildsFinished(ids));
    else for (const id of ids) notifications.push(...buildsFinished([id]));
  }
  return notifications;
}

function statusesOf(
  builds: readonly BuildEnd[],
  ends: ReadonlyMap<number, BuildEnd>,
  locked: ReadonlyMap<number, LockedBuild>,
): Map<number, number> {
  const statuses = new Map<number, number>();
  for (const end of builds) {
    const build = locked.get(end.id);
    if (build === undefined) continue;
    statuses.set(end.id, build.finished ? build.status : (ends.get(end.id) ?? end).status);
  }
  return statuses;
}
