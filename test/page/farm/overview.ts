/** The simulated farm at a glance: the overview, the timeline, jobsets, uploads and problems. */
import type {
  ApiHistory,
  ApiJobsets,
  ApiOverview,
  ApiProblem,
  ApiTimeline,
  ApiUploads,
} from "../../../lib/status/api/types.js";
import {
  chance,
  drvOf,
  type FarmFacts,
  hostileJob,
  hour,
  jobsets,
  minute,
  nameOf,
  systems,
} from "./facts.js";
import { attemptsOf, machinesOf, runningSteps } from "./machines.js";

function presentProblems(farm: FarmFacts): readonly ApiProblem[] {
  if (farm.state !== "broken") return [];
  const now = farm.now();
  return [
    {
      part: "uploads",
      code: "upload-failing",
      subject: "s3://cache",
      reason: "the cache answers 503 (37 uploads wait, builds wait too)",
      advice: "Look at the cache's own log; uploads are tried again by themselves.",
      since: now - 15 * minute,
      until: null,
    },
    {
      part: "database",
      code: "database-away",
      subject: "",
      reason: "connection refused (127.0.0.1:5432)",
      advice: "Start PostgreSQL; finished builds are kept until it answers.",
      since: now - 4 * minute,
      until: null,
    },
  ];
}

function historyOf(farm: FarmFacts): ApiHistory {
  const now = farm.now();
  const points = Array.from({ length: 360 }, (_, index) => {
    const swing = farm.state === "idle" ? 0 : 20 + 14 * Math.sin(index / 30) + 8 * chance(index);
    return {
      at: now - (360 - index) * minute,
      done: Math.round(farm.state === "broken" && index > 340 ? 0 : swing),
      failed: Math.round(chance(index * 3) > 0.9 ? swing / 8 : 0),
      waitMs: farm.state === "idle" ? null : (3 + 9 * chance(index * 7) + index / 60) * minute,
      slotsUsed: Math.round(swing * 3),
      slots: 120,
    };
  });
  return { intervalMs: minute, points };
}

function uploadSummary(farm: FarmFacts): {
  readonly waiting: number;
  readonly oldestSince: number | null;
  readonly failingSince: number | null;
} {
  const now = farm.now();
  if (farm.state === "broken")
    return { waiting: 37, oldestSince: now - 15 * minute, failingSince: now - 15 * minute };
  return farm.state === "busy"
    ? { waiting: 12, oldestSince: now - 20_000, failingSince: null }
    : { waiting: 0, oldestSince: null, failingSince: null };
}

export function overviewOf(farm: FarmFacts): ApiOverview {
  const now = farm.now();
  const machines = machinesOf(farm);
  const slots = machines.reduce((sum, machine) => sum + machine.slots, 0);
  const slotsUsed = machines.reduce((sum, machine) => sum + machine.jobs, 0);
  const steps = farm.stepCount;
  const ready = Math.round(steps * 0.08);
  return {
    state: farm.state === "standby" ? "standby" : "active",
    startedAt: now - 50 * hour,
    leader: farm.state === "standby" ? { name: "db1", since: now - 50 * hour } : null,
    now,
    version: "0.1.0",
    farmName: "Example farm",
    frontendUrl: "https://hydra.example.org",
    problems: presentProblems(farm),
    counts: {
      builds: Math.round(steps / 3),
      steps,
      running: slotsUsed,
      ready,
      waiting: steps - ready - (steps === 0 ? 0 : slotsUsed),
      slotsUsed,
      slots,
      machines: machines.length,
      donePerHour: steps === 0 ? 0 : 1940,
      failedPerHour: steps === 0 ? 0 : 61,
    },
    reasons: { waitingForInputs: Math.round(steps * 0.9), machinesBusy: ready },
    leftMs: steps === 0 ? null : 6.2 * hour,
    systems:
      farm.machineCount === 0
        ? []
        : systems.map((system, index) => {
            const own = machines.filter((machine) => machine.systems.includes(system));
            return {
              system,
              slotsUsed: own.reduce((sum, machine) => sum + machine.jobs, 0),
              slots: own.reduce((sum, machine) => sum + machine.slots, 0),
              ready: Math.round(ready / (index + 1.5)),
              reasons: {
                waitingForInputs: Math.round((steps * 0.8) / (index + 2)),
                machinesBusy: Math.round(ready / (index + 1.5)),
                unsupported: steps > 0 && index === 2 ? 40 : 0,
                retryLater: steps > 0 ? 3 - index : 0,
              },
              oldest:
                steps === 0
                  ? null
                  : {
                      drv: drvOf(index + 40),
                      name: nameOf(index + 40),
                      since: now - (41 + 120 * index) * minute,
                      why: index === 2 ? "no machine offers kvm" : "all machines that can build it are full",
                    },
            };
          }),
    history: historyOf(farm),
    runningNow: runningSteps(farm),
    results:
      steps === 0 && farm.state !== "idle"
        ? []
        : Array.from({ length: 25 }, (_, index) => ({
            build: 40_900 - index,
            project: "nixpkgs",
            jobset: "trunk",
            job: index === 4 ? hostileJob : `${nameOf(index + 2)}.x86_64-linux`,
            drv: drvOf(index + 2),
            status: index < 2 ? 1 : index === 6 ? 7 : index === 9 ? 4 : 0,
            result:
              index < 2 ? "failed" : index === 6 ? "timed out" : index === 9 ? "cancelled" : "succeeded",
            error: index < 2 ? "builder failed with exit code 2: make: *** [all] Error 2" : null,
            machine:
              index === 5 ? null : (machines[index % Math.max(1, machines.length)]?.name ?? "build-001"),
            cached: index === 5,
            durationMs: (3 + index) * minute,
            finishedAt: now - index * 40_000 - 12_000,
          })),
    uploads: uploadSummary(farm),
    skipped: [],
  };
}

export function timelineOf(farm: FarmFacts, query: URLSearchParams): ApiTimeline {
  const now = farm.now();
  const to = Number(query.get("to") ?? now);
  const from = Number(query.get("from") ?? to - hour);
  const attempts = attemptsOf(farm, farm.state === "idle" ? 4 : 900).filter(
    ({ startedAt, stoppedAt }) => startedAt < to && (stoppedAt ?? now) > from,
  );
  return {
    now,
    from,
    to,
    machines: machinesOf(farm)
      .slice(0, 40)
      .map(({ name, slots }) => ({ name, slots })),
    attempts: [...attempts].sort((a, b) => a.startedAt - b.startedAt),
    truncated: false,
  };
}

export function jobsetsOf(farm: FarmFacts): ApiJobsets {
  const now = farm.now();
  return {
    now,
    jobsets: jobsets.map((id, index) => {
      const [project = "", name = ""] = id.split(":");
      const isIdle = farm.state === "idle";
      return {
        project,
        name,
        shares: [100, 50, 40, 10][index] as number,
        asked: [0.5, 0.25, 0.2, 0.05][index] as number,
        got: isIdle ? 0 : ([0.62, 0.2, 0.17, 0.01][index] as number),
        usedMs: isIdle ? 0 : (5 - index) * 3 * hour,
        builds: isIdle ? 0 : 4000 / (index + 1),
        ready: isIdle ? 0 : 300 / (index + 1),
        running: isIdle ? 0 : 8 - index * 2,
        oldestSince: isIdle ? null : now - (index + 1) * 40 * minute,
      };
    }),
  };
}

export function uploadsOf(farm: FarmFacts): ApiUploads {
  const now = farm.now();
  const summary = uploadSummary(farm);
  return {
    now,
    ...summary,
    paths: Array.from({ length: summary.waiting }, (_, index) => ({
      path: `/nix/store/${drvOf(index).slice(0, -4)}`,
      since: (summary.oldestSince ?? now) + index * 400,
    })),
    caches: [
      {
        name: "s3://cache",
        puts: 81_234,
        putBytes: 3.4e12,
        bytesPerSecond: farm.state === "busy" ? 84e6 : 0,
        failingSince: summary.failingSince,
        error: summary.failingSince === null ? null : "503 Slow Down",
      },
    ],
  };
}

export function problemsOf(farm: FarmFacts): readonly ApiProblem[] {
  const now = farm.now();
  return [
    ...presentProblems(farm),
    {
      part: "machines",
      code: "machine-held",
      subject: "mac-005",
      reason: "3 connection losses in 10 min",
      advice: "Look at the builder's journal.",
      since: now - 5 * hour,
      until: now - 4.8 * hour,
    },
  ];
}
