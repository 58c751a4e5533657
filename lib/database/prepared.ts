/**
 * Statements that a connection parses and plans once. Planning takes the server up to ten times as long as running a
 * statement on a few rows, and a build that is alone waits for each.
 *
 * Only statements whose best plan is the same whatever the tables hold belong here: a plan is kept for as long as its
 * connection, and says nothing about a queue that has become a thousand times longer since.
 *
 * Poolers that give each transaction another connection may not know them. The runner cannot use such poolers anyway (it
 * listens, and its locks belong to sessions), but other users of a `HydraDatabase` can: after the first refusal
 * statements are sent as they are, with the same results.
 */
import { createHash } from "node:crypto";
import { refusesPrepared } from "./failure-kinds.js";

/** By text. The name tells the text, as connections behind a pooler may be shared with another version of us. */
const names = new Map<string, string>();

/** Parameters of more elements are planned for. */
const fewElements = 16;

/** Marks a statement that each connection plans once; returns its text. For constants: a mark stays. */
export function prepared(text: string): string {
  names.set(text, `hydra_${createHash("sha256").update(text).digest("hex").slice(0, 16)}`);
  return text;
}

/** Whether the connections of one database take prepared statements. */
export class PreparedStatements {
  #refused = false;

  /** The name to send a statement by; undefined: as it is. */
  nameOf(text: string, values: readonly unknown[]): string | undefined {
    if (this.#refused) return undefined;
    const name = names.get(text);
    if (name === undefined) return undefined;
    return values.some((value) => Array.isArray(value) && value.length > fewElements) ? undefined : name;
  }

  /** Notes an error of a statement that was sent by name; true when it will not happen without. */
  refusedBy(error: unknown): boolean {
    if (!refusesPrepared(error)) return false;
    this.#refused = true;
    return true;
  }
}
