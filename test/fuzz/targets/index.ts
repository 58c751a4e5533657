/** All readers of foreign bytes in the project. */
import type { FuzzTarget } from "../target.js";
import { httpTarget } from "./http.js";
import { nixTargets } from "./nix.js";
import { packageTargets } from "./packages.js";
import { daemonAnswersTarget } from "./sockets/daemon-answers.js";
import { builderOrdersTarget, clientCallsTarget } from "./sockets/runner-answers.js";
import { runnerCallsTarget } from "./sockets/runner-calls.js";
import { textTargets } from "./texts.js";
import { wireTargets } from "./wire.js";

/** Weights of cheap targets are multiplied by this, so that a million cases are a matter of minutes. */
const cheap = 40;

export interface OpenTargets extends AsyncDisposable {
  readonly targets: readonly FuzzTarget[];
}

export async function openTargets(): Promise<OpenTargets> {
  const http = await httpTarget();
  const packages = await packageTargets();
  const wire = await wireTargets();
  const sockets = await Promise.all([
    runnerCallsTarget(),
    clientCallsTarget(),
    builderOrdersTarget(),
    daemonAnswersTarget(),
  ]);
  const weighted = [...nixTargets, ...wire, ...textTargets].map((target) => ({
    ...target,
    weight: (target.weight ?? 1) * cheap,
  }));
  return {
    targets: [
      ...weighted,
      ...packages.targets.map((one) => ({ ...one, weight: 6 })),
      { ...http, weight: 4 },
      ...sockets.map((one) => ({ ...one, weight: 3 })),
    ],
    [Symbol.asyncDispose]: async () => {
      await Promise.all([http, packages, ...sockets].map((open) => open[Symbol.asyncDispose]()));
    },
  };
}
