/** Steps that run now. */
import { BoundedMap } from "../../async/index.js";
import type { AttemptView } from "../../scheduler/index.js";
import { namedMachines } from "../answers/machine-names.js";
import type { StatusSource } from "../types.js";
import type { ApiSource } from "./source.js";
import type { ApiRunningStep } from "./types.js";

/** How long steps like this one took before; null when that is not known. */
export function usualMs(api: ApiSource, row: { readonly expectedMs: number }): number | null {
  return row.expectedMs === api.unknownMs ? null : row.expectedMs;
}

/** Numbers of the tries that run, by attempt: asked once for each that is shown. */
export class TryNumbers {
  readonly #api: ApiSource;
  readonly #known = new BoundedMap<string, number>({ capacity: 10_000 });

  constructor(api: ApiSource) {
    this.#api = api;
  }

  /** By attempt. While the database is away, tries of earlier builds are left out of the count. */
  async of(attempts: readonly AttemptView[]): Promise<ReadonlyMap<string, number>> {
    const missing = attempts.filter(({ attempt }) => !this.#known.has(attempt));
    const counts = missing.length === 0 ? new Map<string, number>() : await this.#ask(missing);
    const numbers = new Map<string, number>();
    for (const { attempt, step } of attempts) {
      const counted = counts.get(step);
      if (counted !== undefined) this.#known.set(attempt, counted);
      numbers.set(attempt, this.#known.get(attempt) ?? (this.#api.row(step)?.tries ?? 0) + 1);
    }
    return numbers;
  }

  async #ask(attempts: readonly AttemptView[]): Promise<ReadonlyMap<string, number>> {
    try {
      return await this.#api.records.tryCounts(attempts.map(({ step }) => step));
    } catch {
      return new Map();
    }
  }
}

/** How far a step is over its usual time, as a factor; steps of which nothing is known count by their minutes. */
function overdue({ startedAt, usualMs: usual }: ApiRunningStep, now: number): number {
  const ran = Math.max(0, now - startedAt);
  return usual === null ? ran / 3_600_000 : ran / Math.max(1_000, usual);
}

/** What runs, longest over its usual time first; at most `limit`. */
export async function runningSteps(
  source: StatusSource,
  api: ApiSource,
  numbers: TryNumbers,
  options: { readonly now: number; readonly limit: number; readonly machine?: string },
): Promise<ApiRunningStep[]> {
  const { now, limit, machine: only } = options;
  const names = new Map(
    [...namedMachines(source.machines())].map(([name, { view }]) => [view.info.id, name]),
  );
  const shown = source
    .attempts()
    .filter(({ machine }) => only === undefined || machine === only)
    .map((attempt) => {
      const row = api.row(attempt.step);
      const step: ApiRunningStep = {
        drv: attempt.step,
        name: row?.name ?? attempt.step,
        system: row?.system ?? "",
        build: attempt.build,
        try: 0,
        machine: names.get(attempt.machine) ?? attempt.machine,
        phase: attempt.phase,
        startedAt: attempt.startedAt,
        usualMs: row === undefined ? null : usualMs(api, row),
      };
      return { attempt, step };
    })
    .sort((a, b) => overdue(b.step, now) - overdue(a.step, now))
    .slice(0, limit);
  const tries = await numbers.of(shown.map(({ attempt }) => attempt));
  return shown.map(({ attempt, step }) => ({ ...step, try: tries.get(attempt.attempt) ?? 1 }));
}
