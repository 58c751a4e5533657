/**
 * Settings of the two programs: from TOML, environment and secret files to checked, documented values.
 *
 * In this room live the tables of all keys, the loaders made from them, and the log filters. It reads files and opens
 * nothing else; a fault is one line that names file and key.
 */
export { defineBuilderConfig, loadBuilderConfig } from "./builder-config.js";
export { builderSettings } from "./builder-settings.js";
export type { ConfigChanges } from "./config-changes.js";
export { builderConfigChanges, configChanges } from "./config-changes.js";
export { ConfigError } from "./config-error.js";
export { defaultConfigFile } from "./default-file.js";
export type { LogFilter } from "./log-filter.js";
export {
  levelForTarget,
  parseLogFilter,
  programLogFormat,
  programLogLevel,
  programLogLevels,
  readLogFilter,
} from "./log-filter.js";
export { settingsTable } from "./manual.js";
export { defineQueueRunnerConfig, loadQueueRunnerConfig } from "./queue-runner-config.js";
export { queueRunnerSettings, referenceProtocolVersion } from "./queue-runner-settings.js";
export { Secret } from "./secret.js";
export type { Live, Setting, SettingTable } from "./setting.js";
export type * from "./types.js";
