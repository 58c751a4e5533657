/** What is wrong with a configuration, in one line. */
import { UsageError } from "../errors.js";

/** A configuration that cannot be used: from a file, or from code. */
export class ConfigError extends UsageError {
  /** The key that it is about, with its table (`overflowStore.store`); undefined when it is about the whole. */
  readonly key: string | undefined;

  constructor(
    message: string,
    options: { readonly key?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { code: "config", cause: options.cause });
    this.key = options.key;
  }
}

/** A fault of a configuration as a whole. `source`: name of the file, or of the function that got the values. */
export function configError(source: string, text: string, cause?: unknown): ConfigError {
  return new ConfigError(`${source}: ${oneLine(text)}`, { cause });
}

/** A fault of one key; `text` follows its name. */
export function keyError(source: string, key: string, text: string, cause?: unknown): ConfigError {
  return new ConfigError(`${source}: key '${key}'${oneLine(text)}`, { key, cause });
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
