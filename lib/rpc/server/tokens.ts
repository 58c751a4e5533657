/**
 * Bearer tokens from files: one token per file, surrounding white space does not count.
 *
 * A file that cannot be read or is empty is an error, never an open door.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { UsageError } from "../../errors.js";

interface Token {
  readonly name: string;
  readonly digest: Uint8Array;
}

/** Digests have one length, so that comparing them tells nothing of the token, not even its length. */
function digestOf(token: string): Uint8Array {
  return createHash("sha256").update(token, "latin1").digest();
}

export class TokenList {
  readonly #tokens: readonly Token[];

  private constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /**
   * An empty list refuses everybody.
   *
   * @throws UsageError `secret-file` naming the file
   */
  static async load(paths: readonly string[]): Promise<TokenList> {
    return new TokenList(await Promise.all(paths.map(readToken)));
  }

  /** The name of the token in an `authorization` header, or undefined when the header does not hold a known one. */
  check(header: string | undefined): string | undefined {
    const prefix = "Bearer ";
    if (header === undefined || !header.startsWith(prefix)) return undefined;
    const digest = digestOf(header.slice(prefix.length));
    let found: string | undefined;
    // No early exit: the time must not depend on which token fits.
    for (const token of this.#tokens) {
      if (timingSafeEqual(token.digest, digest)) found = token.name;
    }
    return found;
  }
}

async function readToken(path: string): Promise<Token> {
  let text: string;
  try {
    text = (await readFile(path, "latin1")).trim();
  } catch (cause) {
    throw new UsageError(`token file ${path} cannot be read`, { code: "secret-file", cause });
  }
  if (text === "") throw new UsageError(`token file ${path} is empty`, { code: "secret-file" });
  return { name: basename(path), digest: digestOf(text) };
}
