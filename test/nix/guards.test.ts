// Hostile or extreme inputs, and the forms of a store's address.
import { describe, expect, it } from "vitest";
import { DaemonError } from "../../lib/nix/daemon/error.js";
import { parseStoreUri } from "../../lib/nix/daemon/store-uri.js";
import { parseNar } from "../../lib/nix/nar/parser.js";
import { narStrings } from "../../lib/nix/nar/writer.js";
import { hashBytes, parseHash, printHash } from "../../lib/nix/path/hash.js";
import { parseStorePath, type StorePath } from "../../lib/nix/path/store-path.js";
import { computeClosure } from "../../lib/nix/store/closure.js";
import type { ValidPathInfo } from "../../lib/nix/store/path-info.js";
import { PathInfoCache } from "../../lib/nix/store/path-info-cache.js";

async function* stream(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function drain(parts: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of parts) count++;
  return count;
}

describe("NARs that mean harm", () => {
  const nested = (depth: number): Uint8Array => {
    const open = narStrings("(", "type", "directory", "entry", "(", "name", "a", "node");
    return Buffer.concat([narStrings("nix-archive-1"), ...Array.from({ length: depth }, () => open)]);
  };

  it("are refused when directories are nested too deep, with a position", async () => {
    await expect(drain(parseNar(stream(nested(50_000))))).rejects.toMatchObject({
      code: "nar",
      message: expect.stringContaining("nested too deep"),
    });
  });

  it("cannot make us allocate what they only announce", async () => {
    const huge = Buffer.alloc(8);
    huge.writeBigUInt64LE(2n ** 50n);
    const header = narStrings("nix-archive-1", "(", "type", "regular", "contents");
    await expect(drain(parseNar(stream(header, huge, Buffer.alloc(100))))).rejects.toThrow("unexpected end");
    await expect(drain(parseNar(stream(huge)))).rejects.toThrow("a text of");
  });
});

describe("hashes", () => {
  it("have the published texts of `abc`", () => {
    const hash = hashBytes("sha256", Buffer.from("abc"));
    const base16 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(printHash(hash, "base16")).toBe(`sha256:${base16}`);
    expect(printHash(hash, "nix32", false)).toBe("1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s");
    expect(printHash(hash, "sri")).toBe("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    for (const encoding of ["base16", "nix32", "base64", "sri"] as const)
      expect(parseHash(printHash(hash, encoding))).toEqual(hash);
  });

  it("are refused in an encoding of the wrong length, or of the wrong kind", () => {
    expect(() => parseHash("sha256:abcd")).toThrow("sha256");
    expect(() => parseHash("abcd")).toThrow("algorithm");
    expect(() => parseHash(printHash(hashBytes("sha1", Buffer.alloc(0)), "base16"), "sha256")).toThrow(
      "sha256",
    );
  });
});

describe("closures", () => {
  it("of a very long chain come dependencies first, without recursion", async () => {
    const path = (i: number): StorePath => parseStorePath(`${String(i).padStart(32, "0")}-c`);
    const info = (i: number): ValidPathInfo => ({
      path: path(i),
      deriver: undefined,
      narHash: hashBytes("sha256", Buffer.alloc(0)),
      references: i === 0 ? [path(0)] : [path(i - 1), path(i)],
      registrationTime: 0,
      narSize: 1,
      ultimate: false,
      signatures: [],
      ca: undefined,
    });
    const query = async (paths: readonly StorePath[]): Promise<Map<StorePath, ValidPathInfo>> =>
      new Map(paths.map((each) => [each, info(Number(each.slice(0, 32)))]));
    const closure = await computeClosure([path(20_000)], query, new PathInfoCache());
    expect(closure.map((each) => each.path)).toEqual(Array.from({ length: 20_001 }, (_, i) => path(i)));
  });
});

describe("store addresses", () => {
  it("are understood in every form", () => {
    expect(parseStoreUri("daemon", {})).toMatchObject({
      kind: "socket",
      socket: "/nix/var/nix/daemon-socket/socket",
      storeDir: "/nix/store",
      realStoreDir: "/nix/store",
    });
    expect(parseStoreUri("daemon", { NIX_DAEMON_SOCKET_PATH: "/s" })).toMatchObject({ socket: "/s" });
    expect(parseStoreUri("unix:///run/x?root=/r", {})).toMatchObject({
      socket: "/run/x",
      realStoreDir: "/r/nix/store",
      stateDir: "/r/nix/var/nix",
    });
    expect(parseStoreUri("unix:///x?store=/a/store&real=/b&state=/c", {})).toMatchObject({
      storeDir: "/a/store",
      realStoreDir: "/b",
      stateDir: "/c",
    });
    expect(parseStoreUri("local?root=/r", {})).toMatchObject({ kind: "spawn", store: "local?root=/r" });
    expect(parseStoreUri("/r", {})).toMatchObject({ kind: "spawn", realStoreDir: "/r/nix/store" });
    expect(parseStoreUri(undefined, { NIX_REMOTE: "unix:///y" })).toMatchObject({ socket: "/y" });
    expect(() => parseStoreUri("ssh://host", {})).toThrow(DaemonError);
  });
});
