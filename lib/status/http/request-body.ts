/** Reading and checking of JSON request bodies. Faults name the field, never the content. */
import { StatusError } from "../errors.js";
import type { StatusRequest } from "./status-request.js";

/** Largest accepted body in bytes; requests of Hydra's front-end are far smaller. */
const bodyLimit = 1024 * 1024;

/** @throws StatusError when the body is too long, cut short, not UTF-8 or not a JSON object */
export async function readJsonObject(request: StatusRequest): Promise<Readonly<Record<string, unknown>>> {
  const tooLong = (): StatusError =>
    new StatusError("bad-request", `the body is longer than ${bodyLimit} bytes`, { status: 413 });
  if (Number(request.headers["content-length"] ?? 0) > bodyLimit) throw tooLong();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const bytes of request.body) {
      size += bytes.length;
      if (size > bodyLimit) throw tooLong();
      chunks.push(bytes);
    }
  } catch (cause) {
    if (cause instanceof StatusError) throw cause;
    throw new StatusError("bad-request", "the body was cut short", { cause });
  }
  return parseJsonObject(Buffer.concat(chunks));
}

/** @throws StatusError when the bytes are not a JSON object */
export function parseJsonObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new StatusError("bad-request", bytes.length === 0 ? "the body is empty" : "the body is not JSON", {
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new StatusError("bad-request", "the body must be a JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}

function field(object: Readonly<Record<string, unknown>>, name: string): unknown {
  if (!Object.hasOwn(object, name)) throw new StatusError("bad-request", `missing field '${name}'`);
  return object[name];
}

/** A string member. @throws StatusError when it is missing or not a string */
export function stringField(object: Readonly<Record<string, unknown>>, name: string): string {
  const value = field(object, name);
  if (typeof value !== "string") throw new StatusError("bad-request", `field '${name}' must be a string`);
  return value;
}

/** Whether a value is an id as Hydra's database has them: a 32-bit integer. */
export function isDatabaseId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= -2147483648 && value <= 2147483647;
}

/** An id of Hydra's database. @throws StatusError when it is missing or not a 32-bit integer */
export function idField(object: Readonly<Record<string, unknown>>, name: string): number {
  const value = field(object, name);
  if (!isDatabaseId(value)) throw new StatusError("bad-request", `field '${name}' must be a 32-bit integer`);
  return value;
}
