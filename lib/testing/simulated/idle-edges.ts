/** Edges of a runner that touch neither files nor caches. */
import type { RunnerEdges } from "../../runner/outputs/edges.js";

const nothing = async (): Promise<void> => {};

/** They do nothing, and nothing is ever there. */
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
    waiting: () => [],
    oldestSince: () => undefined,
    retryNow: () => 0,
    traffic: () => [],
  },
  readNixSupport: () => Promise.reject(new Error("nothing is built here")),
};
