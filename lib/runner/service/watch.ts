/** Asks one thing again and again whether it works, and reports when it does not, or does not answer in time. */
import { atMost, pause, turn } from "../../async/index.js";
import type { ProblemCode } from "../state/problem-kinds.js";
import type { ProblemReporter } from "../state/problems.js";

/** What is watched. */
export interface WatchOptions {
  readonly code: ProblemCode;
  readonly subject?: string | undefined;
  /** Rejects with the cause when the thing does not work. Called again only when the last call has settled. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly problems: ProblemReporter;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Milliseconds after which a probe without an answer is trouble. Default 3,000. */
  readonly limitMs?: number | undefined;
  /** Milliseconds between the end of a probe and the next one. Default 1,000. */
  readonly intervalMs?: number | undefined;
}

/** Watches until `signal` aborts; a probe under way is not waited for then. Never rejects. */
export async function watch(options: WatchOptions): Promise<void> {
  const { code, subject, probe, problems, signal, limitMs = 3_000, intervalMs = 1_000 } = options;
  const over = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  while (!signal.aborted) {
    let answered = false;
    const answer = probe(signal).then(
      () => {
        answered = true;
        if (!signal.aborted) problems.end(code, subject);
      },
      (cause: unknown) => {
        answered = true;
        if (!signal.aborted) problems.begin({ code, subject, cause });
      },
    );
    await atMost(Promise.race([answer, over]), limitMs);
    // After a stall of ours the answer may be there, and only not read yet.
    await turn();
    if (!answered && !signal.aborted) {
      problems.begin({ code, subject, cause: `no answer within ${limitMs / 1000} s` });
      await Promise.race([answer, over]);
    }
    await pause(intervalMs, { signal, ref: false });
  }
}
