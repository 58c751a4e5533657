/**
 * Settings of the two programs: from TOML, environment and secret files to checked, documented values.
 *
 * In this room live the tables of all keys, the loaders made from them, and the log filters. It reads files and opens
 * nothing else; a fault is one line that names file and key.
 */

/** Settings of the builder, from a file or from an object. */
export { defineBuilderConfig, loadBuilderConfig } from "./builder-config.js";
/** The table of the builder's keys. */
export { builderSettings } from "./builder-settings.js";
/** What a reload changes, and what of it has to wait for a restart. */
export { builderConfigChanges, type ConfigChanges, configChanges } from "./config-changes.js";
/** What is wrong with a configuration, in one line. */
export { ConfigError } from "./config-error.js";
/** A file with every key at its default. */
export { defaultConfigFile } from "./default-file.js";
/** Log levels and log format of a program, as operators write them (`RUST_LOG`). */
export {
  type LogFilter,
  levelForTarget,
  parseLogFilter,
  programLogFormat,
  programLogLevel,
  programLogLevels,
  readLogFilter,
} from "./log-filter.js";
/** The tables of `docs/configuration.md`. */
export { settingsTable } from "./manual.js";
/** Settings of the queue runner, from a file or from an object. */
export { defineQueueRunnerConfig, loadQueueRunnerConfig } from "./queue-runner-config.js";
/** The table of the queue runner's keys. */
export { queueRunnerSettings, referenceProtocolVersion } from "./queue-runner-settings.js";
/** A text that no log shows. */
export { Secret } from "./secret.js";
/** What a table of keys is made of. */
export type { Live, Setting, SettingTable } from "./setting.js";
/** The settings themselves. */
export type * from "./types.js";
