/** Whether what a builder reports as built is what was asked for, and is where it should be by now. */

import { backoffDelay, retry } from "../../async/index.js";
import { BinaryCacheError } from "../../binary-cache/index.js";
import type { Logger } from "../../log.js";
import { DaemonError } from "../../nix/daemon/error.js";
import { outputPathName } from "../../nix/path/content-address.js";
import { hashesEqual } from "../../nix/path/hash.js";
import { type StorePath, storePathName } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { BuiltOutput } from "../../rpc/types.js";
import { RunnerError } from "../errors.js";
import { isAddressed } from "../outputs/arriving/addressed.js";
import type { IncomingOutputs } from "../outputs/arriving/incoming-outputs.js";
import type { PresignedUploads } from "../outputs/presigned/presigned-uploads.js";
import type { UploadMode } from "../outputs/upload-mode.js";
import type { Attempt } from "../state/attempts.js";
import type { RawStore } from "../state/runner-store.js";

/** Where outputs should be. */
export interface OutputCheckOptions {
  readonly store: Pick<RawStore, "storeDir" | "queryPathInfos">;
  readonly incoming: Pick<IncomingOutputs, "demandProvable">;
  readonly presigned: Pick<PresignedUploads, "lacking" | "release">;
  readonly uploadMode: () => UploadMode;
}

/**
 * Resolves to the paths that are still for us to upload; they are in our store. What the builder has uploaded itself is
 * published.
 *
 * @throws RunnerError `output-missing`, `output-mismatch`; what the store or the cache throws
 */
export async function checkOutputs(
  options: OutputCheckOptions,
  attempt: Attempt,
  outputs: ReadonlyMap<string, BuiltOutput>,
): Promise<readonly StorePath[]> {
  for (const [name, expected] of attempt.facts.outputs) {
    const reported = outputs.get(name);
    if (reported === undefined) {
      throw new RunnerError("output-missing", `output ${name} of ${attempt.drv} was not reported`);
    }
    if (expected === undefined) demandName(attempt, name, reported.path);
    else if (expected !== reported.path) {
      throw new RunnerError(
        "output-mismatch",
        `output ${name} of ${attempt.drv} should be ${expected}, the builder reported ${reported.path}`,
      );
    }
  }
  const paths = [...outputs.values()].map((output) => output.path);
  const fromBuilders = options.uploadMode() === "from-builders";
  const ours = fromBuilders ? await options.presigned.lacking(attempt, outputs) : paths;
  const infos = await options.store.queryPathInfos(ours);
  const lost = ours.filter((path) => !infos.has(path));
  if (lost.length > 0) {
    throw new RunnerError(
      "output-missing",
      `${lost.join(", ")} did not arrive although ${attempt.drv} was reported as built`,
    );
  }
  for (const [name, output] of outputs) {
    const info = infos.get(output.path);
    if (info === undefined) continue;
    const differs = output.narHash !== undefined && !hashesEqual(output.narHash, info.narHash);
    if (differs || output.narSize !== info.narSize) {
      throw new RunnerError("output-mismatch", `output ${name} of ${attempt.drv} is not what was reported`);
    }
    if (attempt.facts.outputs.get(name) === undefined) demandAddress(options, attempt, name, info);
  }
  options.incoming.demandProvable(attempt, outputs, infos);
  if (fromBuilders) await options.presigned.release(attempt, outputs);
  return ours;
}

function demandName({ drv, facts }: Attempt, output: string, path: StorePath): void {
  const name = outputPathName(facts.name, output);
  if (storePathName(path) === name) return;
  throw new RunnerError(
    "output-mismatch",
    `output ${output} of ${drv} should be named ${name}, the builder reported ${path}`,
  );
}

/**
 * The store recomputed the address when the path arrived; one that is there without an address is of something else. An
 * address of a kind that only the store knows is left to the store.
 */
function demandAddress(
  { store }: OutputCheckOptions,
  { drv }: Attempt,
  output: string,
  info: ValidPathInfo,
): void {
  if (info.ca?.method === "foreign" || isAddressed(store.storeDir, info)) return;
  throw new RunnerError("output-mismatch", `output ${output} of ${drv} is not content-addressed`);
}

const firstPauseMs = 1_000;
const longestPauseMs = 30_000;

/** Where outputs should be, and how the store is asked again. */
export interface OutputCheckRetries extends OutputCheckOptions {
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Ends the waiting between two checks. Default: nothing does. */
  readonly stopped?: AbortSignal | undefined;
}

/**
 * As `checkOutputs`, but a store or bucket that does not answer is asked again for as long as the attempt `isWanted`: a
 * daemon that restarts must not cost hours of work.
 *
 * @throws what `checkOutputs` throws, or the reason of `stopped`
 */
export async function checkOutputsWhileWanted(
  options: OutputCheckRetries,
  attempt: Attempt,
  outputs: ReadonlyMap<string, BuiltOutput>,
  isWanted: () => boolean,
): Promise<readonly StorePath[]> {
  const { random, stopped, logger } = options;
  let failure: unknown;
  const check = async (): Promise<readonly StorePath[]> => {
    if (failure !== undefined && !isWanted()) throw failure;
    return checkOutputs(options, attempt, outputs);
  };
  return retry(check, {
    classify: (error) => (isSilence(error) && isWanted() ? "passing" : "final"),
    delayMs: (failures) =>
      backoffDelay(failures, { firstMs: firstPauseMs, longestMs: longestPauseMs, random }),
    signal: stopped,
    ref: false,
    onRetry: ({ error, delayMs }) => {
      failure = error;
      logger.warn("it is not known yet whether outputs arrived; asking again", {
        drv: attempt.drv,
        retryInMs: Math.round(delayMs),
        error,
      });
    },
  });
}

function isSilence(error: unknown): boolean {
  return error instanceof DaemonError || (error instanceof BinaryCacheError && error.code === "unavailable");
}
