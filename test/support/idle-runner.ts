// What a runner needs that shall neither read nor write files and caches: edges that do nothing, and default settings.
import { type QueueRunnerConfig, queueRunnerSettings } from "../../lib/config/index.js";

export { idleEdges } from "../../lib/testing/simulated/idle-edges.js";

type Defaults = { [Name in keyof typeof queueRunnerSettings]: unknown };

/** Every key that has a default; the others are up to the caller. */
export function defaultConfig(): QueueRunnerConfig {
  const defaults = Object.fromEntries(
    Object.entries(queueRunnerSettings).map(([name, setting]) => [
      name,
      "default" in setting ? setting.default : undefined,
    ]),
  ) as Defaults;
  return defaults as unknown as QueueRunnerConfig;
}
