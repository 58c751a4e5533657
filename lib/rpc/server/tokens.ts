/**
 * Bearer tokens from files: one token per file, surrounding white space does not count.
 *
 * A file that cannot be read or is empty is an error, never an open door.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { checkArgument, checkMade, someTexts } from "../../argument-checks.js";
import { UsageError } from "../../errors.js";

/** Whose token a call came with. */
export interface Identity {
  /** File name, without folder. */
  readonly name: string;
  /** The file name, with a short hash of the token where files of several folders share it. Never the token itself. */
  readonly principal: string;
}

interface Token extends Identity {
  readonly digest: Uint8Array;
}

/** Digests have one length, so that comparing them tells nothing of the token, not even its length. */
function digestOf(token: string): Uint8Array {
  return createHash("sha256").update(token, "latin1").digest();
}

/** The tokens that a server accepts, as digests. */
export class TokenList {
  readonly #tokens: readonly Token[];

  private constructor(tokens: readonly Token[]) {
    checkMade("TokenList", "TokenList.load()", Array.isArray(tokens));
    this.#tokens = tokens;
  }

  /**
   * An empty list refuses everybody.
   *
   * @throws UsageError `secret-file` naming the file
   */
  static async load(paths: readonly string[]): Promise<TokenList> {
    checkArgument("TokenList.load", "paths", paths, someTexts);
    const tokens = await Promise.all(paths.map(readToken));
    const isShared = ({ name, digest }: Token): boolean =>
      tokens.some((other) => other.name === name && !timingSafeEqual(other.digest, digest));
    return new TokenList(
      tokens.map((token) => (isShared(token) ? { ...token, principal: withHash(token) } : token)),
    );
  }

  /** The name of the token in an `authorization` header, or undefined when the header does not hold a known one. */
  check(header: string | undefined): string | undefined {
    return this.identify(header)?.name;
  }

  /** Whose token an `authorization` header holds, or undefined when it does not hold a known one. */
  identify(header: string | undefined): Identity | undefined {
    const prefix = "Bearer ";
    if (header === undefined || !header.startsWith(prefix)) return undefined;
    const digest = digestOf(header.slice(prefix.length));
    let found: Identity | undefined;
    // No early exit: the time must not depend on which token fits.
    for (const token of this.#tokens) {
      if (timingSafeEqual(token.digest, digest)) found = token;
    }
    return found;
  }
}

/** Enough of the digest of the token to tell it from others of its name, and too little to guess it by. */
function withHash({ name, digest }: Token): string {
  return `${name} ${Buffer.from(digest).toString("hex").slice(0, 12)}`;
}

async function readToken(path: string): Promise<Token> {
  let text: string;
  try {
    text = (await readFile(path, "latin1")).trim();
  } catch (cause) {
    throw new UsageError(`token file ${path} cannot be read`, { code: "secret-file", cause });
  }
  if (text === "") throw new UsageError(`token file ${path} is empty`, { code: "secret-file" });
  const name = basename(path);
  return { name, principal: name, digest: digestOf(text) };
}
