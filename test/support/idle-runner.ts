// What a runner needs that shall neither read nor write files and caches: edges that do nothing, and default settings.
import { type QueueRunnerConfig, queueRunnerSettings } from "../../lib/config/index.js";
import type { RunnerEdges } from "../../lib/runner/outputs/edges.js";

const nothing = async (): Promise<void> => {};

export const idleEdges: RunnerEdges = {
  logs: {
    pathOf: (drv) => drv,
    create: () => Promise.reject(new Error("no logs here")),
    size: () => Promise.resolve(undefined),
    finish: nothing,
    setMaxBytes: () => {},
  },
  uploads: {
    open: nothing,
    start: nothing,
    close: nothing,
    stage: () => undefined,
    openFrame: () => Promise.resolve(undefined),
    discardStaged: nothing,
    publish: nothing,
    putLog: nothing,
    presence: () => Promise.resolve(new Map()),
    uploadLater: nothing,
    destination: () => "caches",
    inOverflow: () => Promise.resolve(new Set()),
    copyFromOverflow: nothing,
    readOutput: () => Promise.resolve(undefined),
    presignedCache: () => undefined,
    publishedInfos: async function* () {},
    wantsDebugInfo: () => false,
    pending: () => [],
    pendingCount: () => 0,
    traffic: () => [],
  },
  readNixSupport: () => Promise.reject(new Error("nothing is built here")),
};

type Defaults = { [Name in keyof typeof queueRunnerSettings]: unknown };

/** Every key that has a default; the others are up to the caller. */
export function defaultConfig(): QueueRunnerConfig {
  const defaults = Object.fromEntries(
    Object.entries(queueRunnerSettings).map(([name, setting]) => [
      name,
      "default" in setting ? setting.default : undefined,
    ]),
  ) as Defaults;
  return defaults as unknown as QueueRunnerConfig;
}
