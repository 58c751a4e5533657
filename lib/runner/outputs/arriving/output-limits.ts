/** Whether builders keep to the largest size of an output. */
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import { RpcError } from "../../../rpc/index.js";
import type { Attempt } from "../../state/attempts.js";
import { makes, mayMake } from "./addressed.js";

/**
 * Refuses an output of attempts that is larger than their orders allow. Other paths, such as inputs that a builder got
 * from elsewhere, have no limit.
 *
 * @param info what a builder is about to send; a NAR that is not as long as its info says is refused when it arrives
 * @throws RpcError `out-of-range` naming the path
 */
export function refuseTooLarge(
  { path, narSize }: ValidPathInfo,
  attempts: readonly Pick<Attempt, "facts" | "limits">[],
): void {
  const limits = attempts
    .filter((one) => makes(one, path) || mayMake(one, path))
    .map(({ limits }) => limits.maxOutputSize);
  if (limits.length === 0 || limits.some((limit) => limit <= 0 || narSize <= limit)) return;
  const most = Math.max(...limits);
  throw new RpcError("out-of-range", `${path} has ${narSize} bytes, more than the ${most} allowed`);
}
