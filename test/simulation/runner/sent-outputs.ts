/** What a builder sends and what it reports of a build, which differ when it lies. */
import type { Hash, StorePath } from "../../../lib/nix/index.js";
import { addressedOutput, outputAt, type SimulatedOutput } from "../../../lib/testing/simulated/contents.js";
import type { OutputLie, Run } from "./run.js";
import type { PlannedDerivation } from "./runner-plan.js";

export interface SentOutputs {
  /** Undefined: nothing is sent. */
  readonly sent: SimulatedOutput | undefined;
  /** Stated while sending, when it is not that of the bytes. */
  readonly stated: Hash | undefined;
  readonly reported: SimulatedOutput;
}

/** `foreign`: an output path of another step. */
export function sentOutputs(
  run: Pick<Run, "id" | "order">,
  planned: Pick<PlannedDerivation, "name">,
  seed: number,
  lie: OutputLie | undefined,
  foreign: StorePath,
): SentOutputs {
  const honest = honestOutput(run, planned, seed);
  switch (lie) {
    case undefined:
      return { sent: honest, stated: undefined, reported: honest };
    case "withheld":
      return { sent: undefined, stated: undefined, reported: honest };
    case "otherBytes":
      return {
        sent: outputAt(honest.path, `other bytes of ${run.id}`),
        stated: undefined,
        reported: honest,
      };
    case "otherHash":
      return {
        sent: honest,
        stated: outputAt(honest.path, `other bytes of ${run.id}`).narHash,
        reported: honest,
      };
    case "otherPath": {
      const forged = outputAt(foreign, `forged by ${run.id}`);
      return { sent: forged, stated: undefined, reported: forged };
    }
  }
}

/** Builds are not reproducible, except for those whose path follows from their contents. */
function honestOutput(
  { id, order }: Pick<Run, "id" | "order">,
  { name }: Pick<PlannedDerivation, "name">,
  seed: number,
): SimulatedOutput {
  const wanted = order.derivation?.outputs.get("out");
  return wanted?.kind === "inputAddressed"
    ? outputAt(wanted.path, `${name} built as ${id}`)
    : addressedOutput(name, `${name} of ${seed}`);
}
