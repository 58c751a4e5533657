/**
 * What does not work at present. Parts of the runner report when a trouble begins and when it is over; the status API
 * lists what lasts, and both ends are events.
 */
import { errorChain } from "../../errors.js";
import type { Problem } from "../../status/index.js";
import { type ProblemCode, problemKinds } from "./problem-kinds.js";

/** Trouble as the part that has it reports it. */
export interface Trouble {
  readonly code: ProblemCode;
  /** What of several has it (a cache, a folder, a machine). Default: there is only one. */
  readonly subject?: string | undefined;
  /** What was observed: an error with its causes, or a text. */
  readonly cause: unknown;
}

/** Beginning or end of a problem. */
export interface ProblemEvent {
  readonly kind: "began" | "ended";
  readonly problem: Problem;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** The part of `Problems` that those need who report. */
export type ProblemReporter = Pick<Problems, "begin" | "end" | "keep">;

/** The problems of one runner. */
export class Problems {
  readonly #now: () => number;
  readonly #present = new Map<string, Problem>();
  readonly #listeners = new Set<(event: ProblemEvent) => void>();

  constructor(options: { readonly now?: () => number } = {}) {
    this.#now = options.now ?? Date.now;
  }

  /** What lasts, oldest first. */
  get present(): readonly Problem[] {
    return [...this.#present.values()];
  }

  /** False while some problem keeps results from being recorded. */
  get canRecord(): boolean {
    return this.present.every(({ code }) => !problemKinds[code as ProblemCode].stopsRecording);
  }

  /** Calls `listener` at each beginning and end, until the returned value is disposed of. It must not throw. */
  subscribe(listener: (event: ProblemEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** The trouble is there now. For one that is known only its cause is replaced. */
  begin({ code, subject = "", cause }: Trouble): void {
    const { part, advice } = problemKinds[code];
    const reason = typeof cause === "string" ? cause : errorChain(cause);
    const key = keyOf(code, subject);
    const known = this.#present.get(key);
    const problem = { part, code, subject, reason, advice, since: known?.since ?? this.#now() };
    this.#present.set(key, problem);
    if (known !== undefined) return;
    this.#announce({ kind: "began", problem, at: problem.since });
  }

  /** The trouble is over; nothing happens when it was not there. */
  end(code: ProblemCode, subject = ""): void {
    const problem = this.#present.get(keyOf(code, subject));
    if (problem === undefined) return;
    this.#present.delete(keyOf(code, subject));
    const at = this.#now();
    this.#announce({ kind: "ended", problem, at });
  }

  /** Ends the problems of a kind whose subject is not listed: what they were about is gone. */
  keep(code: ProblemCode, subjects: Iterable<string>): void {
    const kept = new Set(subjects);
    for (const problem of this.present) {
      if (problem.code === code && !kept.has(problem.subject)) this.end(code, problem.subject);
    }
  }

  #announce(event: ProblemEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function keyOf(code: ProblemCode, subject: string): string {
  return `${code} ${subject}`;
}
