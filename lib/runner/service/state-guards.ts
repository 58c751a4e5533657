/** What may be asked of a runner depends on its state: the same handlers, with a guard in front of each. */
import { RpcError, type RunnerServiceHandlers } from "../../rpc/index.js";
import { type RunnerState, StatusError, type StatusSource } from "../../status/index.js";

/** Changing requests make no sense before (and after) the runner owns the database. */
export function whileActive(source: StatusSource, state: () => RunnerState): StatusSource {
  const check = (): void => {
    if (state() === "active") return;
    throw new StatusError("unavailable", `the runner is not active (${state()}); ask again later`);
  };
  return {
    ...source,
    submitBuild: async (request) => {
      check();
      return source.submitBuild(request);
    },
    buildOne: async (id) => {
      check();
      await source.buildOne(id);
    },
    cancelBuild: async (id) => {
      check();
      await source.cancelBuild(id);
    },
    bumpBuild: async (id) => {
      check();
      await source.bumpBuild(id);
    },
    drainMachine: async (machine) => {
      check();
      return source.drainMachine(machine);
    },
    resumeMachine: async (machine) => {
      check();
      return source.resumeMachine(machine);
    },
  };
}

/**
 * Builders are sent on to the active runner. While we drain, those that are known may come back, and all reports are
 * taken; what comes later, or cannot be recorded any more, is left to our successor.
 */
export function onlyWhenActive(
  handlers: RunnerServiceHandlers,
  state: () => RunnerState,
  isKnown: (machine: string) => boolean,
): RunnerServiceHandlers {
  const inactive = (cause?: unknown): RpcError =>
    new RpcError("unavailable", `this runner is not active (${state()})`, { cause });
  const check = (machine: string): void => {
    if (state() === "active" || (state() === "draining" && isKnown(machine))) return;
    throw inactive();
  };
  const whileWorking = async <T>(work: () => Promise<T>): Promise<T> => {
    const works = (): boolean => state() === "active" || state() === "draining";
    if (!works()) throw inactive();
    try {
      return await work();
    } catch (error) {
      throw works() ? error : inactive(error);
    }
  };
  return {
    ...handlers,
    checkVersion: async (request, context) => {
      check(request.machineId);
      return handlers.checkVersion(request, context);
    },
    openTunnel: async (join, tunnel) => {
      check(join.machineId);
      await handlers.openTunnel(join, tunnel);
    },
    buildLog: (log, context) => whileWorking(() => handlers.buildLog(log, context)),
    buildResult: (stream, context) => whileWorking(() => handlers.buildResult(stream, context)),
    requestPresignedUrls: (request, context) =>
      whileWorking(() => handlers.requestPresignedUrls(request, context)),
    requestMultipartParts: (request, context) =>
      whileWorking(() => handlers.requestMultipartParts(request, context)),
    notifyPresignedUploadComplete: (upload, context) =>
      whileWorking(() => handlers.notifyPresignedUploadComplete(upload, context)),
    completeBuild: (completion, context) => whileWorking(() => handlers.completeBuild(completion, context)),
  };
}
