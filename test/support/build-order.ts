// Orders for builders, as a runner makes them.
import { randomUUID } from "node:crypto";
import type { Store } from "../../lib/nix/store.js";
import { parseFullStorePath, type StorePath } from "../../lib/nix/store-path.js";
import type { BuildOrder } from "../../lib/rpc/types.js";
import type { TestNixStore } from "./nix.js";

/** The order for a derivation, its inputs built and resolved. */
export async function buildOrder(
  nix: TestNixStore,
  store: Store,
  expression: string,
  changes: Partial<BuildOrder> = {},
): Promise<BuildOrder> {
  const [drvPath = ""] = await nix.instantiate(expression);
  const drv = parseFullStorePath(store.storeDir, drvPath);
  const parsed = await store.readDerivation(drv);
  const inputs = new Map<string, StorePath>();
  for (const [inputDrv, { outputs }] of parsed.inputDerivations) {
    await nix.run("nix-store", ["--realise", `${store.storeDir}/${inputDrv}`]);
    const known = await store.queryDerivationOutputMap(inputDrv);
    for (const output of outputs) {
      const path = known.get(output);
      if (path !== undefined) inputs.set(`${inputDrv}!${output}`, path);
    }
  }
  return {
    buildId: randomUUID(),
    drv,
    derivation: { ...parsed, inputSources: [...parsed.inputSources, ...inputs.values()].sort() },
    maxLogSize: 0,
    maxSilentTime: 0,
    buildTimeout: 0,
    maxOutputSize: 0,
    presigned: undefined,
    ...changes,
  };
}
