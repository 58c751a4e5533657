/** A store of its own for the tests of one file, behind a daemon of its own, and paths to fill it with. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import type { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import { DaemonError } from "../../lib/nix/daemon/error.js";
import { openStore } from "../../lib/nix/daemon/open-store.js";
import type { BasicDerivation, Derivation } from "../../lib/nix/derivation/derivation.js";
import { dumpTree } from "../../lib/nix/nar/writer.js";
import { makeTextPath } from "../../lib/nix/path/content-address.js";
import { hashBytes } from "../../lib/nix/path/hash.js";
import { parseFullStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import { startNixStore, type TestNixStore } from "./nix.js";
import { pathInfo } from "./path-info.js";

/** The store that the tests of a file share; there is one from `beforeAll` to `afterAll`. */
class MainStore {
  #directory: string | undefined;
  #nix: TestNixStore | undefined;
  #store: DaemonStore | undefined;

  /** A folder for what tests leave on disk. */
  get directory(): string {
    return this.#directory ?? never("the store is not started");
  }

  get nix(): TestNixStore {
    return this.#nix ?? never("the store is not started");
  }

  get store(): DaemonStore {
    return this.#store ?? never("the store is not started");
  }

  async start(): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "store-test-"));
    this.#directory = directory;
    this.#nix = await startNixStore({ directory, name: "main" });
    this.#store = await openStore(this.#nix.remote, { env: this.#nix.env });
  }

  /** Closes all connections, and with them the temporary roots, and opens new ones. */
  async reopen(): Promise<void> {
    await this.close();
    this.#store = await openStore(this.nix.remote, { env: this.nix.env });
  }

  async close(): Promise<void> {
    await this.#store?.close();
  }

  async stop(): Promise<void> {
    await this.close();
    await this.#nix?.close();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }
}

export const main = new MainStore();

/** To be called at the top of a test file that uses `main`. */
export function useMainStore(): void {
  beforeAll(() => main.start());
  afterAll(() => main.stop());
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

export async function* chunks(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** The derivation of an expression: its path and what is in it. */
export async function derivation(expression: string): Promise<{ path: StorePath; drv: Derivation }> {
  const [full] = await main.nix.instantiate(expression);
  const path = parseFullStorePath(main.store.storeDir, full ?? "");
  return { path, drv: await main.store.readDerivation(path) };
}

/** A derivation as a daemon builds it; these tests have none whose inputs are derivations. */
export function basic(drv: Derivation): BasicDerivation {
  const { inputDerivations: _, ...rest } = drv;
  return rest;
}

export async function built(expression: string): Promise<StorePath> {
  const { path } = await derivation(expression);
  const [answer] = await main.store.buildPaths([{ kind: "built", drvPath: path, outputs: "*" }]);
  expect(answer?.result.status).toBe("built");
  const map = await main.store.queryDerivationOutputMap(path);
  const out = map.get("out");
  if (out === undefined) throw new Error("no output");
  return out;
}

/** A text file as a path with its info and NAR, not yet in the store. */
export function textFile(name: string, text: string, references: readonly StorePath[] = []) {
  const contents = Buffer.from(text);
  const nar = Buffer.concat([...dumpTree({ kind: "regular", executable: false, contents })]);
  const hash = hashBytes("sha256", contents);
  const path = makeTextPath(main.store.storeDir, name, hash, references);
  const info = pathInfo(path, nar, { references: [...references].sort(), ca: { method: "text", hash } });
  return { path, info, nar, contents };
}

export function never(why: string): never {
  throw new Error(why);
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    expect(error).toBeInstanceOf(DaemonError);
    return (error as DaemonError).code;
  }
  throw new Error("it did not fail");
}
