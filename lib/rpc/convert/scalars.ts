/** Checks on single values; `field` is the path that an error names. */
import { aText, checkArgument } from "../../argument-checks.js";
import { RpcError } from "../errors.js";

/** The error for a value that cannot be used: `<field>: <problem>`, with status `invalid-argument`. */
export function bad(field: string, problem: string, cause?: unknown): RpcError {
  return new RpcError("invalid-argument", `${field}: ${problem}`, { cause });
}

/** The value of a field that must be there. @throws RpcError `invalid-argument` */
export function required<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw bad(field, "is missing");
  return value;
}

const canonicalUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * A UUID as canonical lower-case text. Taken are the forms that peers may write: any case, with hyphens, 32 digits
 * without, in braces, with prefix `urn:uuid:`.
 *
 * @throws RpcError `invalid-argument`
 */
export function parseUuid(text: string, field = "uuid"): string {
  checkArgument("parseUuid", "text", text, aText);
  let body = text.toLowerCase();
  if (body.startsWith("urn:uuid:")) body = body.slice("urn:uuid:".length);
  else if (body.startsWith("{") && body.endsWith("}")) body = body.slice(1, -1);
  else if (/^[0-9a-f]{32}$/.test(body)) {
    body = [0, 8, 12, 16, 20].map((start, i) => body.slice(start, [8, 12, 16, 20, 32][i])).join("-");
  }
  if (!canonicalUuid.test(body)) throw bad(field, "is not a UUID");
  return body;
}

/** A 64-bit integer as a number; refuses what a double cannot hold exactly. */
export function toNumber(value: bigint, field: string): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(field, `${value} is out of range`);
  return Number(value);
}

/** A size or count from 0 up as a 64-bit integer. @throws RpcError `invalid-argument` */
export function toBigint(value: number, field: string): bigint {
  if (!Number.isSafeInteger(value) || value < 0) throw bad(field, `${value} is not a size or count`);
  return BigInt(value);
}

/** Checks for a finite number from 0 up. @throws RpcError `invalid-argument` */
export function notNegative(value: number, field: string): number {
  if (!Number.isFinite(value) || value < 0) throw bad(field, `${value} is not a number from 0 up`);
  return value;
}

/** Checks for an unsigned 32-bit integer. @throws RpcError `invalid-argument` */
export function uint32(value: number, field: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw bad(field, `${value} is not an unsigned 32-bit integer`);
  }
  return value;
}

/** Checks for a signed 32-bit integer. @throws RpcError `invalid-argument` */
export function int32(value: number, field: string): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0x7fff_ffff) {
    throw bad(field, `${value} is not a 32-bit integer`);
  }
  return value;
}

/** Text that PostgreSQL and protobuf can carry: without NUL, lone surrogates replaced. */
export function cleanText(text: string): string {
  return text.replaceAll("\0", "").replace(/\p{Surrogate}/gu, "\u{fffd}");
}

const outputNamePattern = /^[A-Za-z0-9+\-._?=]{1,211}$/;

/**
 * Checks for the name of a derivation output: 1 to 211 characters that store paths may hold. @throws RpcError
 * `invalid-argument`
 */
export function outputName(name: string, field: string): string {
  if (!outputNamePattern.test(name)) throw bad(field, `${JSON.stringify(name)} is not an output name`);
  return name;
}

/** For spreading into a message: nothing at all when the value is undefined. */
export function present<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const result: { [P in K]?: V } = {};
  if (value !== undefined) result[key] = value;
  return result;
}

/** Runs a parser of another room and names the field in what it throws. */
export function inField<T>(field: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof RpcError) throw error;
    throw bad(field, error instanceof Error ? error.message : String(error), error);
  }
}
