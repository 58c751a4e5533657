/** Whether builders keep to the largest size of an output. */
import { outputPathName } from "../../../nix/path/content-address.js";
import { type StorePath, storePathName } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import { RpcError } from "../../../rpc/index.js";
import type { Attempt } from "../../state/attempts.js";

/**
 * Refuses outputs of attempts that are larger than their orders allow. Other paths of the stream, such as inputs that a
 * builder got from elsewhere, have no limit.
 *
 * @param infos what a builder is about to send; a NAR that is not as long as its info says is refused when it arrives
 * @throws RpcError `out-of-range` naming the path
 */
export function refuseTooLarge(
  infos: readonly ValidPathInfo[],
  attempts: readonly Pick<Attempt, "facts" | "limits">[],
): void {
  for (const { path, narSize } of infos) {
    const limits = attempts.filter((one) => makes(one, path)).map(({ limits }) => limits.maxOutputSize);
    if (limits.length === 0 || limits.some((limit) => limit <= 0 || narSize <= limit)) continue;
    const most = Math.max(...limits);
    throw new RpcError("out-of-range", `${path} has ${narSize} bytes, more than the ${most} allowed`);
  }
}

/** Where an output will be is not always known; its name is. */
function makes({ facts }: Pick<Attempt, "facts">, path: StorePath): boolean {
  for (const [output, expected] of facts.outputs) {
    if (expected === path) return true;
    if (expected === undefined && storePathName(path) === outputPathName(facts.name, output)) return true;
  }
  return false;
}
