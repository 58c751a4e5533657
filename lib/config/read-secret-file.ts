import { accessSync, constants, readFileSync } from "node:fs";

import { keyError } from "./config-error.js";
import { Secret } from "./secret.js";

function reason(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  switch (code) {
    case "ENOENT":
      return "does not exist";
    case "EACCES":
    case "EPERM":
      return "may not be read by this user";
    case "EISDIR":
      return "is a folder";
    default:
      return `cannot be read (${code || String(cause)})`;
  }
}

/**
 * The token in a file: all of it, white space around it removed.
 * @throws ConfigError when it cannot be read, is empty, or cannot stand in a header
 */
export function readTokenFile(config: string, key: string, path: string): Secret {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw keyError(config, key, `: token file ${path} ${reason(cause)}`, cause);
  }
  const token = text.trim();
  if (token === "") throw keyError(config, key, `: token file ${path} is empty; put one token into it`);
  if (!/^[\x20-\x7e]+$/.test(token)) {
    throw keyError(
      config,
      key,
      `: token file ${path} has a line break or other character that no header can carry; one token per file`,
    );
  }
  return new Secret(token);
}

/** @throws ConfigError when the file cannot be read */
export function checkReadable(config: string, key: string, what: string, path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (cause) {
    throw keyError(config, key, `: ${what} ${path} ${reason(cause)}`, cause);
  }
}
