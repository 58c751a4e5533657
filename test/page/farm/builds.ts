/** Builds and steps of the simulated farm, one at a time. */
import type { ApiBuild, ApiGraph, ApiStep, ApiStepState, ApiTry } from "../../../lib/status/api/types.js";
import { drvOf, type FarmFacts, hour, minute, nameOf, pick } from "./facts.js";

function triesOf(farm: FarmFacts, failed: boolean): readonly ApiTry[] {
  const now = farm.now();
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

export function graphOf(farm: FarmFacts, size = 60): ApiGraph {
  const now = farm.now();
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

function blockersOf(farm: FarmFacts): ApiBuild["blockedBy"] {
  const now = farm.now();
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

export function buildWithId(farm: FarmFacts, id: number): ApiBuild | undefined {
  if (id < 40_000 || id > 200_000) return undefined;
  const now = farm.now();
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
    tries: triesOf(farm, failed),
    failures: failed ? [{ drv, name: nameOf(id), try: triesOf(farm, true)[1] as ApiTry }] : [],
    blockedBy: finished ? [] : blockersOf(farm),
    graph: graphOf(farm),
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

export function stepOf(farm: FarmFacts, drv: string): ApiStep | undefined {
  if (!drv.endsWith(".drv")) return undefined;
  const now = farm.now();
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
    tries: triesOf(farm, failed),
    usualMs: 52 * minute,
    startedAt: now - 45 * minute,
    blockedBy: [],
    graph: graphOf(farm, 20),
    outputs: [{ name: "out", path: `/nix/store/${drv.slice(0, -4)}` }],
  };
}
