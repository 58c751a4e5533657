/** Whether a folder that a program writes into can be written, before it starts to work. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { aText, checkArgument } from "../argument-checks.js";
import { isForbidden, isSystemError, UsageError } from "../errors.js";

/**
 * Makes sure that `path` is a folder, or can become one, in which this process may make files: the nearest part of it
 * that exists decides. A disk that is full, or can only be read now, does not count here.
 *
 * @throws UsageError in one line; system errors for a path that cannot be looked at
 */
export async function requireWritableFolder(path: string): Promise<void> {
  checkArgument("requireWritableFolder", "path", path, aText);
  for (let part = resolve(path); ; part = dirname(part)) {
    try {
      if (!(await stat(part)).isDirectory())
        throw new UsageError(`'${part}' is not a folder; remove it or name another folder`);
      await access(part, constants.W_OK | constants.X_OK);
      return;
    } catch (error) {
      if (isForbidden(error)) {
        throw new UsageError(`'${part}' may not be written by this user; change its owner or mode`, {
          cause: error,
        });
      }
      if (!isSystemError(error)) throw error;
      if (error.code === "EROFS") return;
      if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    }
  }
}
