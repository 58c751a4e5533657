/** What passes between one runner and the next, by way of the rows: taking over from a predecessor, giving back. */
import type { Logger } from "../../log.js";
import type { RunnerParts } from "../assembly.js";
import { stoppedMessage } from "../ingestion/earlier-attempts.js";

/** Tidies up after a predecessor. The database must be ours, and nothing handed out yet. */
export async function takeOver(
  { recorder, earlierAttempts, uploads }: Pick<RunnerParts, "recorder" | "earlierAttempts" | "uploads">,
  now: () => number,
  logger: Logger,
): Promise<void> {
  const running = await recorder.busyDerivations();
  const orphans = await recorder.clearOrphans();
  if (orphans > 0) logger.warn("steps of a runner that died were closed", { steps: orphans });
  await uploads.start();
  // The moment that builders get to come back begins when they can.
  earlierAttempts.takeOver(running, now());
}

/** What still runs goes back to the queue: no try is used up, and builders that can may go on with it. */
export async function giveBack({
  attempts,
  results,
}: Pick<RunnerParts, "attempts" | "results">): Promise<void> {
  const outcome = { kind: "postponed", reason: stoppedMessage, delayMs: 1 } as const;
  await Promise.all([...attempts.all()].map((attempt) => results.end(attempt, outcome, stoppedMessage)));
}
