/** What passes between one runner and the next through the rows: taking over from a predecessor, giving back. */
import type { Logger } from "../../log.js";
import { type EarlierAttempts, stoppedMessage } from "../ingestion/earlier-attempts.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { Recorder } from "../recording/recorder.js";
import type { AttemptRegistry } from "../state/attempts.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import type { Results } from "./results.js";

/** What a takeover needs. */
export interface TakeoverParts {
  readonly scheduler: RunningScheduler;
  readonly recorder: Recorder;
  readonly earlierAttempts: EarlierAttempts;
  readonly uploads: Pick<RunnerEdges["uploads"], "start">;
}

/** Tidies up after a predecessor. The database must be ours, and nothing assigned yet. */
export async function takeOver(parts: TakeoverParts, logger: Logger): Promise<void> {
  const { scheduler, recorder, earlierAttempts, uploads } = parts;
  const running = await recorder.busyDerivations();
  const orphans = await recorder.clearOrphans();
  if (orphans > 0) logger.warn("steps of a runner that died were closed", { steps: orphans });
  await uploads.start();
  // The time that builders get to come back begins when they can.
  earlierAttempts.takeOver(running, scheduler.now());
}

/** What still runs goes back to the queue: no try is used up, and builders that can may go on with it. */
export async function giveBack({
  attempts,
  results,
}: {
  readonly attempts: AttemptRegistry;
  readonly results: Results;
}): Promise<void> {
  const outcome = { kind: "postponed", reason: stoppedMessage, delayMs: 1 } as const;
  await Promise.all([...attempts.all()].map((attempt) => results.end(attempt, outcome, stoppedMessage)));
}
