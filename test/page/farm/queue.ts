/** The queue of the simulated farm. */
import type { ApiQueue, ApiQueueRow, ApiReason } from "../../../lib/status/api/types.js";
import { drvOf, type FarmFacts, jobsets, minute, nameOf, pick, systems } from "./facts.js";
import { overviewOf } from "./overview.js";

function rowAt(farm: FarmFacts, index: number): ApiQueueRow {
  const now = farm.now();
  const kind = index % 50;
  const [reason, why]: readonly [ApiReason, string] =
    index < 60
      ? ["running", `builds on build-${String(index + 1).padStart(3, "0")} for ${40 + index} min`]
      : kind < 5
        ? ["machinesBusy", "all 96 slots of machines that can build it are full; 41 steps are before it"]
        : kind === 6
          ? ["unsupported", "no machine offers kvm; fails in 1 min 40 s"]
          : kind === 7
            ? ["retryLater", "second try in 4 min: connection to mac-2 was lost"]
            : ["waitingForInputs", `waits for ${1 + (index % 9)} inputs: ${nameOf(index + 3)} and others`];
  return {
    drv: drvOf(index),
    name: nameOf(index),
    system: pick(systems, index % 7 === 3 ? 1 : index % 11 === 5 ? 2 : 0),
    reason,
    why,
    build: 41_000 + index,
    jobset: pick(jobsets, index),
    job: `${nameOf(index)}.${pick(systems, index)}`,
    tries: kind === 7 ? 1 : 0,
    since: kind < 8 ? now - (index % 300) * minute : null,
    dependents: (index * 37) % 900,
  };
}

export function queueOf(farm: FarmFacts, query: URLSearchParams): ApiQueue {
  const limit = Math.min(500, Number(query.get("limit") ?? 200));
  const first = Number(query.get("cursor") ?? 0);
  const wanted = (row: ApiQueueRow): boolean =>
    (["system", "reason", "jobset"] as const).every(
      (key) => !query.get(key) || row[key] === query.get(key),
    ) &&
    (row.job ?? "").includes(query.get("job") ?? "") &&
    row.name.includes(query.get("name") ?? "");
  const all: ApiQueueRow[] = [];
  for (let index = 0; index < farm.stepCount; index++) {
    const row = rowAt(farm, index);
    if (wanted(row)) all.push(row);
  }
  const overview = overviewOf(farm);
  return {
    now: farm.now(),
    rows: all.slice(first, first + limit),
    total: all.length,
    cursor: first + limit < all.length ? String(first + limit) : null,
    systems: overview.systems.map(({ system, ready, reasons }) => ({ system, ready, reasons })),
  };
}
