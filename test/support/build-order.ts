// Orders for builders, as a runner makes them.
import { randomUUID } from "node:crypto";
import { parseFullStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import type { Store } from "../../lib/nix/store/store.js";
import type { BuildOrder } from "../../lib/rpc/types.js";
import type { TestNixStore } from "./nix.js";

/** The order for a derivation, its inputs built and resolved. */
export async function buildOrder(
  nix: TestNixStore,
  store: Store,
  expression: string,
  changes: Partial<BuildOrder> = {},
): Promise<BuildOrder> {
  const [order] = await buildOrders(nix, store, expression);
  if (order === undefined) throw new Error("the expression yields no derivation");
  return { ...order, ...changes };
}

/** The orders for all derivations of a list. */
export async function buildOrders(
  nix: TestNixStore,
  store: Store,
  expression: string,
): Promise<BuildOrder[]> {
  const drvs = await nix.instantiate(expression);
  return Promise.all(drvs.map((drv) => orderOf(nix, store, parseFullStorePath(store.storeDir, drv))));
}

async function orderOf(nix: TestNixStore, store: Store, drv: StorePath): Promise<BuildOrder> {
  const parsed = await store.readDerivation(drv);
  const inputs: StorePath[] = [];
  for (const [inputDrv, { outputs }] of parsed.inputDerivations) {
    await nix.run("nix-store", ["--realise", `${store.storeDir}/${inputDrv}`]);
    const known = await store.queryDerivationOutputMap(inputDrv);
    for (const output of outputs) {
      const path = known.get(output);
      if (path !== undefined) inputs.push(path);
    }
  }
  return {
    buildId: randomUUID(),
    drv,
    derivation: { ...parsed, inputSources: [...parsed.inputSources, ...inputs].sort() },
    maxLogSize: 0,
    maxSilentTime: 0,
    buildTimeout: 0,
    maxOutputSize: 0,
    presigned: undefined,
  };
}
