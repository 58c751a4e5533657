/** What a reload changes, and what of it has to wait for a restart. */
import { isDeepStrictEqual } from "node:util";

import { queueRunnerSettings } from "./queue-runner-settings.js";
import { Secret } from "./secret.js";
import type { QueueRunnerConfig } from "./types.js";

function plain(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal();
  return Array.isArray(value) ? value.map(plain) : value;
}

type Key = keyof typeof queueRunnerSettings;

export interface ConfigChanges {
  /** Keys whose new value counts from now on. */
  readonly live: readonly Key[];
  /** Keys whose new value counts after a restart only. */
  readonly atRestart: readonly Key[];
}

/** Keys of the file whose value differs. A token file with new content counts as a change of its key. */
export function configChanges(before: QueueRunnerConfig, after: QueueRunnerConfig): ConfigChanges {
  const same = (key: keyof QueueRunnerConfig): boolean =>
    isDeepStrictEqual(plain(before[key]), plain(after[key]));
  const changed = (Object.keys(queueRunnerSettings) as Key[]).filter((key) => {
    if (key === "tokenPaths") return !(same(key) && same("tokens"));
    if (key === "statusTokenPath") return !(same(key) && same("statusToken"));
    return !same(key);
  });
  const isLive = (key: Key): boolean => queueRunnerSettings[key].live === "yes";
  return { live: changed.filter(isLive), atRestart: changed.filter((key) => !isLive(key)) };
}
