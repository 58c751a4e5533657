/**
 * Identifiers of attempts: secrets between the runner and one builder, which the runner can recognise after a restart.
 *
 * An identifier is a version 4 UUID of 60 random bits and 62 bits of a keyed hash over these bits, the derivation, the
 * machine and the principal. So it cannot be guessed, and one that is shown for another derivation, machine or
 * principal is detected without a list of what was issued before the restart.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { link, mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isSystemError } from "../../errors.js";
import { type AttemptId, attemptId, type MachineId, type StepId } from "../../scheduler/ids.js";

/** Who an attempt is given to, and what for. */
export interface AttemptGrant {
  readonly step: StepId;
  readonly machine: MachineId;
  /** The principal that owns the machine, as text; see `principalKey`. */
  readonly principal: string;
}

const keyBytes = 32;
const randomPart = 8;

/** Makes identifiers of attempts and recognises its own. */
export class AttemptIds {
  readonly #key: Uint8Array;
  readonly #random: (size: number) => Uint8Array;

  /**
   * @param key 32 secret bytes; a runner with the same key recognises the identifiers
   * @param random source of unpredictable bytes; default: the operating system's
   * @throws RangeError for a key of another length
   */
  constructor(key: Uint8Array, random: (size: number) => Uint8Array = randomBytes) {
    if (key.length !== keyBytes)
      throw new RangeError(`the key has ${key.length} bytes instead of ${keyBytes}`);
    this.#key = key;
    this.#random = random;
  }

  /** A new identifier for one attempt. */
  next(grant: AttemptGrant): AttemptId {
    const nonce = Uint8Array.from(this.#random(randomPart));
    nonce[6] = 0x40 | ((nonce[6] ?? 0) & 0x0f);
    return attemptId(format(Buffer.concat([nonce, this.#proof(nonce, grant)])));
  }

  /** Whether `id` was made with this key for exactly this step, machine and principal. */
  isFor(id: AttemptId, grant: AttemptGrant): boolean {
    const digits = id.replaceAll("-", "");
    if (!/^[0-9a-f]{32}$/.test(digits)) return false;
    const bytes = Buffer.from(digits, "hex");
    const nonce = bytes.subarray(0, randomPart);
    return timingSafeEqual(bytes.subarray(randomPart), this.#proof(nonce, grant));
  }

  #proof(nonce: Uint8Array, { step, machine, principal }: AttemptGrant): Uint8Array {
    const hash = createHmac("sha256", this.#key).update(nonce);
    // With its length in front, no field can be mistaken for a part of the next.
    for (const field of [step, machine, principal]) hash.update(`${Buffer.byteLength(field)}:${field}`);
    const proof = Uint8Array.from(hash.digest().subarray(0, 8));
    proof[0] = 0x80 | ((proof[0] ?? 0) & 0x3f);
    return proof;
  }
}

function format(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [0, 8, 12, 16, 20].map((start, index) => hex.slice(start, [8, 12, 16, 20, 32][index])).join("-");
}

/** A key for a runner that keeps none: no later runner recognises its identifiers. */
export function newAttemptKey(): Uint8Array {
  return randomBytes(keyBytes);
}

/**
 * The key in a file that only its owner may read; made when there is none.
 *
 * @throws the system's error when the file can be neither read nor made
 */
export async function loadAttemptKey(path: string): Promise<Uint8Array> {
  const existing = await readKey(path);
  if (existing !== undefined) return existing;
  await mkdir(dirname(path), { recursive: true });
  const own = `${path}.${randomBytes(8).toString("hex")}`;
  await writeFile(own, randomBytes(keyBytes), { mode: 0o600 });
  try {
    // Complete or not there; the first of several processes wins.
    await link(own, path).catch((error: unknown) => {
      if (!isSystemError(error) || error.code !== "EEXIST") throw error;
    });
  } finally {
    await unlink(own);
  }
  const key = await readKey(path);
  if (key === undefined) throw new RangeError(`${path} does not hold a key of ${keyBytes} bytes; remove it`);
  return key;
}

/** Undefined when the file does not exist. @throws RangeError for a file that holds no key */
async function readKey(path: string): Promise<Uint8Array | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isSystemError(error) && error.code === "ENOENT") return undefined;
    throw error;
  }
  if (bytes.length === keyBytes) return bytes;
  throw new RangeError(`${path} does not hold a key of ${keyBytes} bytes; remove it`);
}
