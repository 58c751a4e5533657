/**
 * Where the runner itself touches disks and binary caches. All other effects go through what it is given: the store,
 * the database, the tunnels. A simulation has its own edges.
 */
import { join } from "node:path";
import type { TaskGroup } from "../../async/index.js";
import type { BinaryCache } from "../../binary-cache/index.js";
import type { QueueRunnerConfig } from "../../config/types.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { readNixSupport } from "../../nix-support/index.js";
import type { NixSupport } from "../../rpc/types.js";
import type { EventEmitter } from "../events/index.js";
import type { ProblemReporter } from "../state/problems.js";
import type { RunnerStore } from "../state/runner-store.js";
import { withoutDropped } from "./dropped-lines.js";
import { GcRoots } from "./gc-roots.js";
import { LogStore } from "./logs/log-store.js";
import type { UploadMode } from "./upload-mode.js";
import { Uploads } from "./uploads/uploads.js";

/** The parts of a runner that a simulation replaces. */
export interface RunnerEdges {
  readonly logs: Pick<LogStore, keyof LogStore>;
  readonly uploads: Pick<Uploads, keyof Uploads>;
  /** The `nix-support` of an output in the store. */
  readonly readNixSupport: (outputName: string, output: StorePath) => Promise<NixSupport>;
}

/** What edges are opened with. */
export interface EdgesOptions {
  /** Read at each use: a reload changes it. */
  readonly config: () => QueueRunnerConfig;
  readonly uploadMode: () => UploadMode;
  readonly store: RunnerStore;
  readonly logger: Logger;
  readonly tasks: TaskGroup;
  readonly problems: ProblemReporter;
  readonly events: EventEmitter;
  /** Caches besides those of the configuration; closed by their owner. Default: none. */
  readonly caches?: readonly BinaryCache[] | undefined;
}

/** The edges of a runner in production: files below its data folder, the stores of its configuration. */
export function openEdges(options: EdgesOptions): RunnerEdges {
  const { config, uploadMode, store, logger, tasks, problems, events } = options;
  const logs = new LogStore({
    directory: join(config().hydraDataDir, "build-logs"),
    maxBytes: config().maxLogSize,
    logger,
  });
  const roots = new GcRoots({ store, folder: () => config().rootsDir, tasks, logger });
  const uploads = new Uploads({
    store,
    logs,
    roots,
    tasks,
    problems,
    events,
    caches: options.caches,
    logger,
    uploadMode,
    concurrency: () => Math.max(1, config().concurrentUploadLimit),
    journalFolder: join(config().hydraDataDir, "queue-runner"),
  });
  return {
    logs,
    uploads,
    readNixSupport: async (name, output) =>
      withoutDropped(await readNixSupport(store, name, output), output, logger),
  };
}
