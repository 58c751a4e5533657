/** A runner that does nothing but what a test says; every other call is UNIMPLEMENTED. */
import { RpcError, type RunnerServiceHandlers } from "../../../lib/rpc/index.js";

export function handlersWith(some: Partial<RunnerServiceHandlers>): RunnerServiceHandlers {
  const refuse = (): Promise<never> => Promise.reject(new RpcError("unimplemented", "not part of this test"));
  return {
    checkVersion: refuse,
    openTunnel: refuse,
    buildStepUpdate: refuse,
    fetchRequisites: refuse,
    hasPath: refuse,
    fetchPaths: refuse,
    buildLog: refuse,
    buildResult: refuse,
    requestPresignedUrls: refuse,
    requestMultipartParts: refuse,
    notifyPresignedUploadComplete: refuse,
    completeBuild: refuse,
    ...some,
  };
}
