/** A build on a simulated machine, and what the machine needs of the world. */
import type { StorePath } from "../../../lib/nix/index.js";
import type {
  BuildCompletion,
  BuildOrder,
  BuildState,
  RunnerServiceHandlers,
} from "../../../lib/rpc/index.js";
import type { SimulatedOutput } from "../../../lib/testing/simulated/contents.js";
import type { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import type { VirtualTime } from "../../../lib/testing/simulated/virtual-time.js";
import type { BuilderWatch } from "./builder-watch.js";
import type { Ledger } from "./ledger.js";
import type { PlannedDerivation, RunnerPlan } from "./runner-plan.js";

/** How long the runner waits for a machine that keeps its builds. Milliseconds. */
export const rejoinGraceMs = 10_000;
/** Not a number of disturbances that there can be. */
export const givenUp = -1;

/** A build as its machine sees it. */
export interface Run {
  readonly id: string;
  readonly drv: StorePath;
  readonly machine: string;
  readonly startedAt: number;
  readonly order: BuildOrder;
  /** Which life of the runner gave the order. */
  readonly life: number;
  /** `working`; `done`: the report is on its way; `over`: nothing more is said of it. */
  state: "working" | "done" | "over";
  /** The runner counts on it: nobody else may be given the derivation. */
  owned: boolean;
  /** Its tunnel broke, but the machine may come back with it until then. Milliseconds since the epoch. */
  ownedUntil: number | undefined;
  /** Its row is there for a later runner to see. */
  knownByRow: boolean;
  /** The order has arrived. */
  received: boolean;
  /** Nothing more happens with it. */
  stalled: boolean;
  /** How often something had happened by then that may end builds early; `givenUp`: it will end, whatever happens. */
  disturbances: number;
  completion: BuildCompletion | undefined;
  /** What the builder says of its outputs that is not true. */
  lie: OutputLie | undefined;
  /** Its log was sent. */
  logged: boolean;
}

/**
 * `otherBytes`: others than it reports; `otherHash`: it states the wrong one while sending; `otherPath`: it sends and
 * reports an output of another step; `withheld`: it sends none.
 */
export const outputLies = ["otherBytes", "otherHash", "otherPath", "withheld"] as const;
export type OutputLie = (typeof outputLies)[number];

/** The runner of the moment; undefined while none takes builders. */
export interface RunnerSide {
  readonly handlers: RunnerServiceHandlers;
  readonly life: number;
}

export interface BuilderWorld {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly ledger: Ledger;
  readonly plan: RunnerPlan;
  readonly runner: () => RunnerSide | undefined;
  readonly healed: () => boolean;
  readonly planned: (name: string) => PlannedDerivation;
  /** Of all derivations whose outputs have a path before they are built. */
  readonly outputPaths: () => readonly StorePath[];
  /** How often something happened that may end builds early. */
  readonly disturbances: () => number;
  /** Whether a row says that the machine is building the derivation. */
  readonly hasRow: (drv: StorePath, machine: string) => boolean;
  readonly watch: Pick<BuilderWatch, "onOrder" | "onAbort" | "onReport" | "onRefused">;
}

/** The report of a build; `output`: when it has one. */
export function completionOf(
  run: Pick<Run, "id" | "machine">,
  state: BuildState,
  output: SimulatedOutput | undefined,
  failed: boolean,
): BuildCompletion {
  return {
    buildId: run.id,
    machineId: run.machine,
    state,
    importMs: 1,
    buildMs: 1,
    uploadMs: 1,
    outputs: new Map(
      output === undefined
        ? []
        : [
            [
              "out",
              {
                path: output.path,
                narSize: output.nar.length,
                closureSize: output.nar.length,
                narHash: output.narHash,
                nixSupport: supportOf(failed),
              },
            ],
          ],
    ),
    error: state === "success" ? undefined : `simulated ${state}`,
  };
}

export function supportOf(failed: boolean): {
  readonly failed: boolean;
  readonly releaseName: undefined;
  readonly products: [];
  readonly metrics: [];
} {
  return { failed, releaseName: undefined, products: [], metrics: [] };
}
