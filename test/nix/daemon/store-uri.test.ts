/** Forms of a store's address. */
import { describe, expect, it } from "vitest";
import { DaemonError } from "../../../lib/nix/daemon/error.js";
import { parseStoreUri } from "../../../lib/nix/daemon/store-uri.js";

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
