// A program of somebody who installed the package: every entrance, and what the README promises of each.
import {
  DaemonStore,
  HydraError,
  QueueRunner,
  type QueueRunnerOptions,
  Scheduler,
  UploadQueue,
} from "hydra-runner";
import * as binaryCache from "hydra-runner/binary-cache";
import * as builder from "hydra-runner/builder";
import * as compression from "hydra-runner/compression";
import * as config from "hydra-runner/config";
import * as database from "hydra-runner/database";
import * as nix from "hydra-runner/nix";
import * as serviceProcess from "hydra-runner/process";
import * as rpc from "hydra-runner/rpc";
import * as runner from "hydra-runner/runner";
import * as scheduler from "hydra-runner/scheduler";
import * as status from "hydra-runner/status";
import * as testing from "hydra-runner/testing";

/** The same class by the root entrance and by its room's. */
export const same = [
  DaemonStore === nix.DaemonStore,
  QueueRunner === runner.QueueRunner,
  Scheduler === scheduler.Scheduler,
  UploadQueue === binaryCache.UploadQueue,
];

export const rooms = {
  binaryCache,
  builder,
  compression,
  config,
  database,
  nix,
  serviceProcess,
  rpc,
  runner,
  scheduler,
  status,
  testing,
};

/** Starts a runner; errors are told apart by their code. */
export async function run(options: QueueRunnerOptions): Promise<string | undefined> {
  try {
    await using queueRunner = new QueueRunner(options);
    await queueRunner.start();
    const { exitCode } = await queueRunner.finished;
    return String(exitCode);
  } catch (error) {
    if (error instanceof HydraError) return error.code;
    throw error;
  }
}
