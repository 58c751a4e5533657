// A farm in memory for the routes below /api/: a real scheduler, and records as the database would give them.
import { createHash } from "node:crypto";
import { machineId, stepId } from "../../../lib/scheduler/index.js";
import type { ApiSource, NamedBuild, StatusSource } from "../../../lib/status/index.js";
import { StatusError } from "../../../lib/status/index.js";
import { World } from "../../scheduler/world.js";
import { serve, type TestApi } from "../http-client.js";
import { idleRecording, recordedSource } from "../recorded-source.js";

/** Base name of a derivation of that name. */
export function drvOf(name: string): string {
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 32).replaceAll("e", "z");
  return `${hash}-${name}.drv`;
}

export interface Farm extends AsyncDisposable {
  readonly world: World;
  readonly ask: TestApi["ask"];
  readonly port: number;
  readonly source: StatusSource;
  readonly listeners: ReadonlySet<Parameters<ApiSource["listen"]>[0]>;
  step(name: string, inputs?: readonly string[], more?: Parameters<World["step"]>[2]): void;
  build(id: number, step: string, job?: string): void;
}

export async function openFarm(
  overrides: {
    readonly api?: Partial<Omit<ApiSource, "records">> & { readonly records?: Partial<ApiSource["records"]> };
    readonly source?: Partial<StatusSource>;
    readonly token?: string;
  } = {},
): Promise<Farm> {
  const world = new World();
  const { scheduler } = world;
  const builds = new Map<number, NamedBuild>();
  const listeners = new Set<Parameters<ApiSource["listen"]>[0]>();
  const api: ApiSource = {
    settings: () => ({ farmName: "test farm", frontendUrl: "https://hydra.example.org" }),
    leader: () => undefined,
    stepOrder: () => "WithRdeps",
    unknownMs: scheduler.options.defaultDurationMs,
    systems: () => scheduler.systems(),
    rows: () => scheduler.rows(),
    row: (drv) => scheduler.row(stepId(drv)),
    why: (drv, place) => {
      const why = scheduler.why(stepId(drv), world.now, place);
      return why.code === "unknown" ? { code: "unknown" } : why;
    },
    inputs: (drv) => scheduler.inputs(stepId(drv)),
    dependents: (drv) => scheduler.dependents(stepId(drv)),
    queuedBuild: (id) => builds.get(id),
    queuedBuilds: () => builds.values(),
    history: async () => ({ intervalMs: 60_000, points: [] }),
    endedProblems: () => [],
    uploads: { paths: () => [], oldestSince: () => undefined, retry: () => 0 },
    logs: { list: async () => [] },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ...overrides.api,
    records: {
      attempts: async () => [],
      tries: async () => [],
      build: async () => undefined,
      endedSteps: async () => [],
      outputs: async () => [],
      findBuilds: async () => [],
      tryCounts: async () => new Map(),
      errors: async () => new Map(),
      ...overrides.api?.records,
    },
  };
  const { source: recorded, metrics } = recordedSource(idleRecording);
  const source: StatusSource = {
    ...recorded,
    api,
    machines: () =>
      scheduler.machines(world.now).map((view) => ({
        view,
        totalMemoryBytes: 64e9,
        cgroups: true,
        substituters: [],
        useSubstitutes: false,
        nixVersion: "2.28",
        load1: 1,
        load5: 1,
        load15: 1,
        memoryUsedBytes: 1e9,
        uploadingPaths: 0,
        downloadingPaths: 0,
        times: { totalMs: 0, importMs: 0, buildMs: 0, uploadMs: 0 },
        jobs: [],
      })),
    jobsets: () => scheduler.jobsets(),
    builds: () => scheduler.builds(),
    steps: () => scheduler.steps(),
    queues: () => scheduler.queues(),
    queueStats: () => scheduler.queueStats(),
    attempts: () => scheduler.attempts(),
    reasonCounts: () => scheduler.reasons(),
    counts: () => ({ ...scheduler.sizes(), runnable: 0 }),
    whyNotRunning: async (drv) => {
      const why = scheduler.why(stepId(drv), world.now);
      return why.code === "unknown" ? { code: "unknown" } : why;
    },
    drainMachine: (name) => {
      if (!scheduler.hasMachine(machineId(name))) throw new StatusError("not-found", "no such machine");
      scheduler.drainMachine(machineId(name), world.now);
      return [name];
    },
    ...overrides.source,
  };
  const served = await serve({
    source,
    metrics,
    clock: () => world.now,
    version: "1.2.3",
    writeToken: overrides.token,
  });
  return {
    world,
    source,
    listeners,
    ask: served.ask,
    port: served.port,
    step: (name, inputs = [], more = {}) => world.step(drvOf(name), inputs.map(drvOf), { name, ...more }),
    build: (id, step, job = step) => {
      world.build(id, drvOf(step), { job });
      builds.set(id, { id, project: "p", jobset: "j1", job, drv: drvOf(step) });
    },
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}
