/** What a runner stands on: everything that reaches beyond the process comes in from here. */
import type { BinaryCache } from "../binary-cache/index.js";
import type { QueueRunnerConfig } from "../config/types.js";
import type { HydraDatabase, Listener } from "../database/index.js";
import type { TransactionRunner } from "../database/recording/index.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/path/store-path.js";
import type { EventBus } from "./events/index.js";
import type { EdgesOptions, RunnerEdges } from "./outputs/edges.js";
import type { HeldNarInfoMemory } from "./outputs/presigned/held-narinfos.js";
import type { RunnerPolicies } from "./policies.js";
import type { RunnerSinks } from "./sinks.js";
import type { AttemptIds } from "./state/attempt-ids.js";
import type { Problems } from "./state/problems.js";
import type { RawStore } from "./state/runner-store.js";
import type { Clock } from "./state/running-scheduler.js";
import type { UnprovenMemory } from "./state/unproven-paths.js";

/** What the runner reads from and writes into Hydra's database. */
export type RunnerDatabase = TransactionRunner &
  Pick<
    HydraDatabase,
    | "unfinishedBuilds"
    | "unfinishedBuildDigest"
    | "jobsets"
    | "jobsetUsage"
    | "failedPaths"
    | "earlierTries"
    | "stepDurations"
    | "resolveOutputChains"
    | "earlierBuildOfOutputs"
  >;

/** What the parts stand on; nothing in it is closed by them. */
export interface RunnerContext {
  /** Read at each use: a reload changes it. */
  readonly config: () => QueueRunnerConfig;
  readonly store: RawStore;
  readonly database: RunnerDatabase;
  readonly listener: Pick<Listener, "onChange" | "onResync">;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Aborts when the runner begins to close: nothing is retried for later any more. Default: never. */
  readonly closing?: AbortSignal | undefined;
  /** Aborts when the runner has drained and gives up the database: nothing can be recorded any more. Default: never. */
  readonly stopped?: AbortSignal | undefined;
  /** Makes identifiers of attempts. Default: with a key that no other runner knows. */
  readonly attemptIds?: AttemptIds | undefined;
  /** Binary caches besides those of the configuration. Default: none. */
  readonly caches?: readonly BinaryCache[] | undefined;
  /** See `RunnerSinks`. Default: nothing is traced. */
  readonly traceOrder?: RunnerSinks["traceOrder"];
  /** Rules in place of those of the configuration. Default: none. */
  readonly policies?: RunnerPolicies | undefined;
  /** Where events go. Default: a bus of their own. */
  readonly events?: EventBus | undefined;
  /** Where trouble is reported. Default: a registry of their own. */
  readonly problems?: Problems | undefined;
  /** Whether the start of a step could be recorded now; request a round when it can be again. Default: always. */
  readonly mayStart?: (() => boolean) | undefined;
  /** Paths that an earlier runner could not prove or delete. Default: none. */
  readonly unprovenBefore?: readonly StorePath[] | undefined;
  /** Default: they are forgotten with the process. */
  readonly unprovenMemory?: UnprovenMemory | undefined;
  /** Default: none. */
  readonly heldNarInfos?: HeldNarInfoMemory | undefined;
  /** Default: those of production. */
  readonly openEdges?: ((options: EdgesOptions) => RunnerEdges) | undefined;
}
