/** What a reload changes, and what of it has to wait for a restart. */

import { isDeepStrictEqual } from "node:util";
import { checkArgument, isObject } from "../argument-checks.js";
import { builderSettings } from "./builder-settings.js";
import { queueRunnerSettings } from "./queue-runner-settings.js";
import { Secret } from "./secret.js";
import type { SettingTable } from "./setting.js";
import type { BuilderConfig, QueueRunnerConfig } from "./types.js";

function plain(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal();
  return Array.isArray(value) ? value.map(plain) : value;
}

/** Keys of the file that a reload changes, by when the new value applies. */
export interface ConfigChanges<K extends string> {
  /** Applied by the reload. */
  readonly live: readonly K[];
  /** Applied by the next restart. */
  readonly atRestart: readonly K[];
}

function changesOf<T extends SettingTable>(
  settings: T,
  isSame: (key: keyof T & string) => boolean,
): ConfigChanges<keyof T & string> {
  const changed = Object.keys(settings).filter((key) => !isSame(key));
  const isLive = (key: string): boolean => settings[key]?.live === "yes";
  return { live: changed.filter(isLive), atRestart: changed.filter((key) => !isLive(key)) };
}

/** @throws UsageError when one of them was not checked against the settings */
function checkConfigs(owner: string, before: unknown, after: unknown, settings: SettingTable): void {
  const rule = {
    words: "a whole configuration: see defineQueueRunnerConfig() and defineBuilderConfig()",
    accepts: (value: unknown) => isObject(value) && Object.keys(settings).every((key) => key in value),
  };
  checkArgument(owner, "before", before, rule);
  checkArgument(owner, "after", after, rule);
}

/** Keys of the file whose value differs. A token file with new content counts as a change of its key. */
export function configChanges(
  before: QueueRunnerConfig,
  after: QueueRunnerConfig,
): ConfigChanges<keyof typeof queueRunnerSettings> {
  checkConfigs("configChanges", before, after, queueRunnerSettings);
  const same = (key: keyof QueueRunnerConfig): boolean =>
    isDeepStrictEqual(plain(before[key]), plain(after[key]));
  return changesOf(queueRunnerSettings, (key) => {
    if (key === "tokenPaths") return same(key) && same("tokens");
    if (key === "statusTokenPath") return same(key) && same("statusToken");
    return same(key);
  });
}

/** Keys of the builder's file whose value differs. */
export function builderConfigChanges(
  before: BuilderConfig,
  after: BuilderConfig,
): ConfigChanges<keyof typeof builderSettings> {
  checkConfigs("builderConfigChanges", before, after, builderSettings);
  return changesOf(builderSettings, (key) => isDeepStrictEqual(before[key], after[key]));
}
