// The recording of the Rust pair at work: what it was given, and what stood in the database afterwards.
import { readFileSync } from "node:fs";
import type { BuildRows } from "../../support/hydra-tables.js";

/** Stands in front of every recorded expression. */
const prefix =
  'let sh = s: a: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; args = ["-c" s]; B = "/bin/busybox"; } // a); ca = { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }; in ';

export interface RecordedCase {
  readonly case: string;
  readonly what: string;
  readonly expressions?: readonly string[];
  readonly drvs?: readonly string[];
  readonly builds: readonly number[];
  readonly rows: BuildRows;
  /** While the builder was away. */
  readonly rows_after_loss?: BuildRows;
  /** Just after the runner was killed, and after it was started again. */
  readonly rows_after_kill?: BuildRows;
  readonly rows_after_start?: BuildRows;
  /** Seconds, channel, payload. */
  readonly notifications: readonly (readonly [number, string, string])[];
  readonly derivations?: Readonly<Record<string, string>>;
}

const fixture = new URL("../../fixtures/observed/cases.json", import.meta.url);

export const recordedCases = JSON.parse(readFileSync(fixture, "utf8")) as readonly RecordedCase[];

export function recordedCase(name: string): RecordedCase {
  const found = recordedCases.find((one) => one.case === name);
  if (found === undefined) throw new Error(`nothing was recorded under the name ${name}`);
  return found;
}

/** An expression with the recording's own words in scope. */
export function expression(text: string): string {
  return `${prefix}(${text})`;
}
