/** Files in folders that are there but for the first time. */
import { mkdir } from "node:fs/promises";
import { isSystemError } from "./errors.js";

/** Does `work`, and when something it needs is missing, once more with the folder made. */
export async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isSystemError(error) || error.code !== "ENOENT") throw error;
    await mkdir(folder, { recursive: true });
    return work();
  }
}
