/**
 * A farm that the live page can be looked at with: answers of the API, typed by its contract, in the states that operators
 * see. `busy` has 100,000 steps and 200 machines. Everything follows from the state and the time; nothing is random.
 */
import type {
  ApiAttempt,
  ApiBuild,
  ApiGraph,
  ApiHistory,
  ApiHit,
  ApiJobsets,
  ApiMachine,
  ApiMachineDetail,
  ApiMachineState,
  ApiOverview,
  ApiProblem,
  ApiQueue,
  ApiQueueRow,
  ApiReason,
  ApiRunningStep,
  ApiStep,
  ApiStepState,
  ApiTimeline,
  ApiTry,
  ApiUploads,
} from "../../lib/status/api/types.js";

/** What the farm is like. */
export type FarmState = "idle" | "busy" | "broken" | "standby";

const minute = 60_000;
const hour = 60 * minute;
const names = [
  "linux-6.12.9",
  "llvm-19.1.7",
  "qemu-9.2.0",
  "firefox-134.0",
  "gcc-14.2.0",
  "python3-3.12.8",
  "rustc-1.83.0",
  "glibc-2.40",
  "nixos-test-installer",
  "chromium-131.0",
  "ghc-9.8.4",
  "openssl-3.4.0",
  "systemd-257.2",
  "texlive-2024",
  "webkitgtk-2.46.5",
];
const systems = ["x86_64-linux", "aarch64-linux", "aarch64-darwin"] as const;
const jobsets = ["nixpkgs:trunk", "nixpkgs:staging", "nixos:release-24.11", "gnome:main"];

function pick<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T;
}

/** A number from 0 to 1 that looks random. */
function chance(seed: number): number {
  const value = Math.sin(seed * 12.9898) * 43758.5453;
  return value - Math.floor(value);
}

export function drvOf(index: number): string {
  const hash = (index + 1)
    .toString(32)
    .replaceAll(/[eotu]/g, "x")
    .padStart(32, "0");
  return `${hash}-${pick(names, index)}.drv`;
}

function nameOf(index: number): string {
  return pick(names, index);
}

/** What a hostile jobset could set; nothing of it may become markup. */
export const hostileJob = `<img src=x onerror="document.title='owned'">`;

export class SimulatedFarm {
  readonly state: FarmState;
  readonly #now: () => number;
  /** Machines and steps; small where the state is idle. */
  readonly machineCount: number;
  readonly stepCount: number;
  readonly #drained = new Set<string>();

  constructor(state: FarmState, now: () => number = Date.now) {
    this.state = state;
    this.#now = now;
    this.machineCount = state === "busy" ? 200 : state === "standby" ? 0 : 6;
    this.stepCount = state === "busy" ? 100_000 : state === "broken" ? 420 : 0;
  }

  #machine(index: number): ApiMachine {
    const now = this.#now();
    const system = pick(systems, index % 5 === 4 ? 2 : index % 4 === 3 ? 1 : 0);
    const slots = [8, 16, 4, 32][index % 4] as number;
    const name = `${system.includes("darwin") ? "mac" : system.startsWith("aarch64") ? "arm" : "build"}-${String(index + 1).padStart(3, "0")}`;
    const busy = this.state === "idle" ? 0 : this.state === "broken" ? 0.4 : 1;
    const kind = index % 23;
    const [state, words, until]: readonly [ApiMachineState, string, number | null] = this.#drained.has(name)
      ? ["draining", "draining: takes no new steps", null]
      : this.state === "idle"
        ? ["idle", "idle for 42 min", null]
        : kind === 5
          ? ["held", "held: 3 connection losses in 10 min", now + 7 * minute]
          : kind === 9
            ? ["limited", "memory pressure 38.2 % is over its limit of 30 %", null]
            : kind === 13
              ? ["idle", "idle for 3 min", null]
              : kind === 17
                ? ["building", `building, ${slots - 2} of ${slots} slots`, null]
                : ["full", `full: ${slots} of ${slots} slots`, null];
    const jobs =
      state === "full"
        ? slots
        : state === "building"
          ? slots - 2
          : state === "limited"
            ? Math.ceil(slots / 2)
            : 0;
    const load = busy * jobs * (0.7 + chance(index) * 0.5);
    return {
      id: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
      name,
      state,
      words,
      until,
      systems: system === "x86_64-linux" ? [system, "i686-linux"] : [system],
      features: index % 3 === 0 ? ["kvm", "nixos-test", "big-parallel", "benchmark"] : ["big-parallel"],
      mandatoryFeatures: [],
      jobs,
      slots,
      speedFactor: 1 + (index % 3),
      cpuCount: slots * 2,
      load1: load,
      cpuPressure: busy * 30 * chance(index + 3),
      memoryPressure: kind === 9 ? 38.2 : busy * 6 * chance(index + 5),
      ioPressure: system.includes("darwin") ? null : busy * 12 * chance(index + 7),
      memoryUsed: (0.1 + 0.7 * busy * chance(index + 1)) * slots * 4 * 2 ** 30,
      memoryTotal: slots * 4 * 2 ** 30,
      storeFree: 20 + 70 * chance(index + 11),
      buildDirFree: 50 + 40 * chance(index + 13),
      joinedAt: now - 31 * hour - index * minute,
      lastPing: now - 1000 - (index % 9) * 1000,
      idleSince: state === "idle" ? now - 3 * minute : null,
      done: 400 + index * 7,
      failed: index % 11,
      uploads: index % 4 === 0 ? 1 : 0,
    };
  }

  machines(): readonly ApiMachine[] {
    return Array.from({ length: this.machineCount }, (_, index) => this.#machine(index));
  }

  drain(name: string, draining: boolean): boolean {
    if (!this.machines().some((machine) => machine.name === name)) return false;
    if (draining) this.#drained.add(name);
    else this.#drained.delete(name);
    return true;
  }

  #running(count = 25): readonly ApiRunningStep[] {
    const now = this.#now();
    const machines = this.machines().filter(({ jobs }) => jobs > 0);
    if (machines.length === 0) return [];
    return Array.from({ length: Math.min(count, machines.length * 3) }, (_, index) => ({
      drv: drvOf(index),
      name: nameOf(index),
      system: pick(machines, index).systems[0] ?? "",
      build: 41_000 + index,
      try: 1 + (index % 7 === 3 ? 1 : 0),
      machine: pick(machines, index).name,
      phase: index % 9 === 4 ? "sending inputs" : index % 9 === 7 ? "receiving outputs" : "building",
      startedAt: now - 80 * minute + index * 3 * minute,
      usualMs: index % 6 === 5 ? null : (52 + index) * minute,
    }));
  }

  #problems(): readonly ApiProblem[] {
    if (this.state !== "broken") return [];
    const now = this.#now();
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

  #history(): ApiHistory {
    const now = this.#now();
    const points = Array.from({ length: 360 }, (_, index) => {
      const swing = this.state === "idle" ? 0 : 20 + 14 * Math.sin(index / 30) + 8 * chance(index);
      return {
        at: now - (360 - index) * minute,
        done: Math.round(this.state === "broken" && index > 340 ? 0 : swing),
        failed: Math.round(chance(index * 3) > 0.9 ? swing / 8 : 0),
        waitMs: this.state === "idle" ? null : (3 + 9 * chance(index * 7) + index / 60) * minute,
        slotsUsed: Math.round(swing * 3),
        slots: 120,
      };
    });
    return { intervalMs: minute, points };
  }

  overview(): ApiOverview {
    const now = this.#now();
    const machines = this.machines();
    const slots = machines.reduce((sum, machine) => sum + machine.slots, 0);
    const slotsUsed = machines.reduce((sum, machine) => sum + machine.jobs, 0);
    const steps = this.stepCount;
    const ready = Math.round(steps * 0.08);
    return {
      state: this.state === "standby" ? "standby" : "active",
      startedAt: now - 50 * hour,
      leader: this.state === "standby" ? { name: "db1", since: now - 50 * hour } : null,
      now,
      version: "0.1.0",
      farmName: "Example farm",
      frontendUrl: "https://hydra.example.org",
      problems: this.#problems(),
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
        this.machineCount === 0
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
                        why:
                          index === 2 ? "no machine offers kvm" : "all machines that can build it are full",
                      },
              };
            }),
      history: this.#history(),
      runningNow: this.#running(),
      results:
        steps === 0 && this.state !== "idle"
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
      uploads: this.#uploadSummary(),
      skipped: [],
    };
  }

  #uploadSummary(): {
    readonly waiting: number;
    readonly oldestSince: number | null;
    readonly failingSince: number | null;
  } {
    const now = this.#now();
    if (this.state === "broken")
      return { waiting: 37, oldestSince: now - 15 * minute, failingSince: now - 15 * minute };
    return this.state === "busy"
      ? { waiting: 12, oldestSince: now - 20_000, failingSince: null }
      : { waiting: 0, oldestSince: null, failingSince: null };
  }

  #attempts(count: number, machine?: string): readonly ApiAttempt[] {
    const now = this.#now();
    const machines = this.machines().slice(0, 40);
    if (machines.length === 0) return [];
    return Array.from({ length: count }, (_, index) => {
      const lasts = (2 + 20 * chance(index)) * minute;
      const startedAt = now - 2 * hour + ((index * 97) % 7200) * 1000;
      const stoppedAt = startedAt + lasts > now ? null : startedAt + lasts;
      const status = stoppedAt === null ? null : index % 13 === 2 ? 1 : 0;
      return {
        drv: drvOf(index),
        name: nameOf(index),
        build: 40_000 + index,
        job: `${nameOf(index)}.x86_64-linux`,
        try: 1,
        machine: machine ?? pick(machines, index).name,
        system: "x86_64-linux",
        startedAt,
        stoppedAt,
        status,
        result: status === null ? "running" : status === 1 ? "failed" : "succeeded",
      };
    });
  }

  machine(name: string): ApiMachineDetail | undefined {
    const machine = this.machines().find((one) => one.name === name);
    if (machine === undefined) return undefined;
    return {
      ...machine,
      now: this.#now(),
      nixVersion: "2.28.3",
      peer: "10.0.0.17",
      load5: machine.load1 * 0.9,
      load15: machine.load1 * 0.8,
      running: this.#running(machine.jobs).map((step) => ({ ...step, machine: name })),
      history: this.#attempts(this.state === "idle" ? 3 : 60, name).filter(
        ({ stoppedAt }) => stoppedAt !== null,
      ),
      limits: [
        { what: "load", value: machine.load1, limit: machine.cpuCount * 2 },
        { what: "memory pressure, %", value: machine.memoryPressure, limit: 30 },
        { what: "I/O pressure, %", value: machine.ioPressure, limit: 60 },
      ],
    };
  }

  #row(index: number): ApiQueueRow {
    const now = this.#now();
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

  queue(query: URLSearchParams): ApiQueue {
    const limit = Math.min(500, Number(query.get("limit") ?? 200));
    const first = Number(query.get("cursor") ?? 0);
    const wanted = (row: ApiQueueRow): boolean =>
      (["system", "reason", "jobset"] as const).every(
        (key) => !query.get(key) || row[key] === query.get(key),
      ) &&
      (row.job ?? "").includes(query.get("job") ?? "") &&
      row.name.includes(query.get("name") ?? "");
    const all: ApiQueueRow[] = [];
    for (let index = 0; index < this.stepCount; index++) {
      const row = this.#row(index);
      if (wanted(row)) all.push(row);
    }
    const overview = this.overview();
    return {
      now: this.#now(),
      rows: all.slice(first, first + limit),
      total: all.length,
      cursor: first + limit < all.length ? String(first + limit) : null,
      systems: overview.systems.map(({ system, ready, reasons }) => ({ system, ready, reasons })),
    };
  }

  #tries(failed: boolean): readonly ApiTry[] {
    const now = this.#now();
    return [
      {
        try: 1,
        machine: "build-001",
        startedAt: now - 70 * minute,
        stoppedAt: now - 50 * minute,
        status: 3,
        result: "aborted",
        error: "connection to the machine was lost",
        hasLog: true,
        cost: null,
      },
      {
        try: 2,
        machine: "build-004",
        startedAt: now - 45 * minute,
        stoppedAt: failed ? now - 3 * minute : null,
        status: failed ? 1 : null,
        result: failed ? "failed" : "running",
        error: failed ? "builder failed with exit code 2" : null,
        hasLog: true,
        cost: {
          cpuUserMs: 38 * minute,
          cpuSystemMs: 4 * minute,
          peakMemory: 3.2 * 2 ** 30,
          readBytes: 12e9,
          writtenBytes: 4e9,
          outputBytes: null,
          source: "cgroup",
        },
      },
    ];
  }

  graph(size = 60): ApiGraph {
    const now = this.#now();
    const states: readonly ApiStepState[] = ["running", "waiting", "ready", "failed", "succeeded"];
    const nodes = Array.from({ length: size }, (_, index) => ({
      id: drvOf(index),
      name: nameOf(index),
      state: index === 0 ? ("waiting" as const) : pick(states, index * 3 + (index >> 2)),
      count: 1,
      machine: index % 5 === 0 ? "build-004" : null,
      startedAt: index % 5 === 0 ? now - index * minute : null,
      durationMs: null,
      critical: index === 0 || index === 1 || index === 4 || index === 13,
    }));
    const edges = Array.from({ length: size - 1 }, (_, index): [number, number] => [
      Math.floor(index / 3),
      index + 1,
    ]);
    const group = {
      id: "group:succeeded",
      name: "succeeded",
      state: "succeeded" as const,
      count: 812,
      machine: null,
      startedAt: null,
      durationMs: null,
      critical: false,
    };
    return { nodes: [...nodes, group], edges: [...edges, [2, size]], steps: size + 812, truncated: false };
  }

  #blockers(): ApiBuild["blockedBy"] {
    const now = this.#now();
    return [
      {
        drv: drvOf(1),
        name: nameOf(1),
        state: "running",
        why: "builds on mac-005 for 41 min (usually 52 min)",
        machine: "mac-005",
        startedAt: now - 41 * minute,
        usualMs: 52 * minute,
      },
      {
        drv: drvOf(8),
        name: nameOf(8),
        state: "unsupported",
        why: "no machine offers kvm; fails in 1 min 40 s",
        machine: null,
        startedAt: null,
        usualMs: null,
      },
      {
        drv: drvOf(6),
        name: nameOf(6),
        state: "ready",
        why: "all 96 slots are full; 41 steps are before it",
        machine: null,
        startedAt: null,
        usualMs: 20 * minute,
      },
    ];
  }

  build(id: number): ApiBuild | undefined {
    if (id < 40_000 || id > 200_000) return undefined;
    const now = this.#now();
    const finished = id <= 40_900;
    const failed = finished && id > 40_898;
    const drv = drvOf(id % 1000);
    return {
      now,
      id,
      project: "nixpkgs",
      jobset: "trunk",
      job: `${nameOf(id)}.x86_64-linux`,
      drv,
      name: nameOf(id),
      system: "x86_64-linux",
      finished,
      status: failed ? 1 : finished ? 0 : null,
      words: failed
        ? `failed on build-004 after 42 min: builder failed with exit code 2`
        : finished
          ? "succeeded on build-004 after 42 min"
          : "waits for 3 of 812 steps; llvm builds on mac-005 since 41 min (usually 52)",
      error: failed
        ? "builder for 'llvm' failed with exit code 2;\nlast 2 log lines:\n> make: *** [all] Error 2"
        : null,
      priority: 100,
      globalPriority: 0,
      queuedAt: now - 5 * hour,
      startedAt: now - 45 * minute,
      stoppedAt: finished ? now - 3 * minute : null,
      usualMs: 52 * minute,
      steps: { total: 812, done: finished ? 812 : 700, running: finished ? 0 : 4, failed: failed ? 1 : 0 },
      tries: this.#tries(failed),
      failures: failed ? [{ drv, name: nameOf(id), try: this.#tries(true)[1] as ApiTry }] : [],
      blockedBy: finished ? [] : this.#blockers(),
      graph: this.graph(),
      outputs: [
        {
          name: "out",
          path: `/nix/store/${drv.slice(0, 32)}-${nameOf(id)}`,
        },
        { name: "dev", path: null },
      ],
      products:
        finished && !failed
          ? [
              {
                type: "file",
                subtype: "iso",
                name: "nixos.iso",
                path: `/nix/store/${drv.slice(0, 32)}-iso/nixos.iso`,
                size: 1.2e9,
              },
            ]
          : [],
      url: `https://hydra.example.org/build/${id}`,
      share: { asked: 0.4, got: 0.31 },
    };
  }

  step(drv: string): ApiStep | undefined {
    if (!drv.endsWith(".drv")) return undefined;
    const now = this.#now();
    const failed = drv === drvOf(899);
    return {
      now,
      drv,
      name: drv.slice(33, -4),
      system: "x86_64-linux",
      features: ["big-parallel"],
      state: failed ? "failed" : "running",
      words: failed
        ? "failed on build-004: builder failed with exit code 2"
        : "builds on build-004 for 45 min (usually 52 min)",
      reason: failed ? null : "running",
      machines: failed
        ? []
        : [
            { machine: "build-001", why: "full (8 of 8)" },
            { machine: "build-002", why: "memory pressure over its limit (38.2, limit 30)" },
          ],
      builds: [{ id: 41_000, job: "llvm.x86_64-linux", jobset: "nixpkgs:trunk" }],
      tries: this.#tries(failed),
      usualMs: 52 * minute,
      startedAt: now - 45 * minute,
      blockedBy: [],
      graph: this.graph(20),
      outputs: [{ name: "out", path: `/nix/store/${drv.slice(0, -4)}` }],
    };
  }

  timeline(query: URLSearchParams): ApiTimeline {
    const now = this.#now();
    const to = Number(query.get("to") ?? now);
    const from = Number(query.get("from") ?? to - hour);
    const attempts = this.#attempts(this.state === "idle" ? 4 : 900).filter(
      ({ startedAt, stoppedAt }) => startedAt < to && (stoppedAt ?? now) > from,
    );
    return {
      now,
      from,
      to,
      machines: this.machines()
        .slice(0, 40)
        .map(({ name, slots }) => ({ name, slots })),
      attempts: [...attempts].sort((a, b) => a.startedAt - b.startedAt),
      truncated: false,
    };
  }

  jobsets(): ApiJobsets {
    const now = this.#now();
    return {
      now,
      jobsets: jobsets.map((id, index) => {
        const [project = "", name = ""] = id.split(":");
        const isIdle = this.state === "idle";
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

  uploads(): ApiUploads {
    const now = this.#now();
    const summary = this.#uploadSummary();
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
          bytesPerSecond: this.state === "busy" ? 84e6 : 0,
          failingSince: summary.failingSince,
          error: summary.failingSince === null ? null : "503 Slow Down",
        },
      ],
    };
  }

  problems(): readonly ApiProblem[] {
    const now = this.#now();
    return [
      ...this.#problems(),
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

  search(text: string): readonly ApiHit[] {
    const wanted = text.toLowerCase();
    const machines = this.machines()
      .filter(({ name }) => name.includes(wanted))
      .slice(0, 5)
      .map(({ name, words }): ApiHit => ({ kind: "machine", id: name, title: name, detail: words }));
    const steps = names
      .map(
        (name, index): ApiHit => ({
          kind: "step",
          id: drvOf(index),
          title: name,
          detail: "waits for 3 inputs",
        }),
      )
      .filter(({ title }) => title.includes(wanted));
    return [...steps, ...machines].slice(0, 20);
  }
}
