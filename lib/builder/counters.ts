/** What a builder has done and is doing, for metrics and pings. */
import type { BuildState } from "../rpc/types.js";

/** Counters since the builder started, and gauges (`connected`, `activeBuilds`, and the paths in transfer). */
export interface BuilderCounters {
  readonly connected: boolean;
  readonly tunnelsOpened: number;
  readonly tunnelsLost: number;
  readonly buildsStarted: number;
  readonly buildsAborted: number;
  /** Orders answered with a refusal or with another order's result. */
  readonly ordersRefused: number;
  readonly ordersShared: number;
  readonly reports: Readonly<Partial<Record<BuildState, number>>>;
  readonly reportsLost: number;
  readonly activeBuilds: number;
  /** Paths right now. */
  readonly substituting: number;
  readonly downloading: number;
  readonly uploading: number;
  /** Totals. */
  readonly pathsDownloaded: number;
  readonly pathsUploaded: number;
  /** Uncompressed. */
  readonly bytesDownloaded: number;
  readonly bytesUploaded: number;
  readonly logBytes: number;
}

/** `BuilderCounters` for the parts of the builder that count. */
export type MutableCounters = { -readonly [Key in keyof BuilderCounters]: BuilderCounters[Key] } & {
  reports: Partial<Record<BuildState, number>>;
};

/** Counters of a builder that has done nothing yet. */
export function newCounters(): MutableCounters {
  return {
    connected: false,
    tunnelsOpened: 0,
    tunnelsLost: 0,
    buildsStarted: 0,
    buildsAborted: 0,
    ordersRefused: 0,
    ordersShared: 0,
    reports: {},
    reportsLost: 0,
    activeBuilds: 0,
    substituting: 0,
    downloading: 0,
    uploading: 0,
    pathsDownloaded: 0,
    pathsUploaded: 0,
    bytesDownloaded: 0,
    bytesUploaded: 0,
    logBytes: 0,
  };
}

/** Counts `paths` in the gauge `name` while `work` runs, however it ends. */
export async function counted<T>(
  counters: MutableCounters,
  name: "substituting" | "downloading" | "uploading",
  paths: number,
  work: () => Promise<T>,
): Promise<T> {
  counters[name] += paths;
  try {
    return await work();
  } finally {
    counters[name] -= paths;
  }
}
