import { access, constants, readFile } from "node:fs/promises";

import { configError } from "./check-file.js";
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
 * @throws UsageError when it cannot be read, is empty, or cannot stand in a header
 */
export async function readTokenFile(config: string, key: string, path: string): Promise<Secret> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw configError(config, `key '${key}': token file ${path} ${reason(cause)}`, cause);
  }
  const token = text.trim();
  if (token === "")
    throw configError(config, `key '${key}': token file ${path} is empty; put one token into it`);
  if (!/^[\x20-\x7e]+$/.test(token)) {
    throw configError(
      config,
      `key '${key}': token file ${path} has a line break or other character that no header can carry; one token per file`,
    );
  }
  return new Secret(token);
}

/** @throws UsageError when the file cannot be read */
export async function checkReadable(config: string, key: string, what: string, path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    throw configError(config, `key '${key}': ${what} ${path} ${reason(cause)}`, cause);
  }
}
