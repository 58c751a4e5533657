// Connections to a real nix-daemon: opening, the pool, and what happens when the daemon dies.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { openStore } from "../../../lib/nix/daemon/open-store.js";
import { parseFullStorePath } from "../../../lib/nix/path/store-path.js";
import {
  basic,
  chunks,
  codeOf,
  derivation,
  main,
  textFile,
  useMainStore,
} from "../../support/daemon-store.js";
import { descendants, shellDerivation, startNixStore } from "../../support/nix.js";
import { until } from "../../support/until.js";

useMainStore();

const run = promisify(execFile);

/** The command lines of all processes. */
async function commands(): Promise<string[]> {
  return (await run("ps", ["-eo", "args"])).stdout.split("\n");
}

describe("connection", () => {
  it("agrees on a protocol version and knows the daemon", () => {
    expect(main.store.server.minor).toBeGreaterThanOrEqual(32);
    expect(main.store.server.minor).toBeLessThanOrEqual(38);
    expect(main.store.server.nixVersion).toMatch(/^2\.\d+/);
    expect(main.store.protocol).toBe(`1.${main.store.server.minor}`);
    expect(main.store.server.trust).toBe(main.store.server.minor >= 35 ? "trusted" : "unknown");
  });

  it("knows where the files are", () => {
    expect(main.store.storeDir).toBe("/nix/store");
    expect(main.store.realStoreDir).toBe(main.nix.realStoreDir);
    expect(main.store.stateDir).toBe(`${main.nix.root}/nix/var/nix`);
  });

  it("answers a ping", async () => {
    await main.store.ping();
  });

  it("refuses a socket that is not there", async () => {
    expect(await codeOf(openStore("unix:///nonexistent/socket"))).toBe("connect");
  });

  it("refuses an address of a kind it does not speak", async () => {
    expect(await codeOf(Promise.resolve().then(() => openStore("https://example.org")))).toBe("address");
  });

  it("serves a local store through a daemon of its own", async () => {
    await using local = await openStore(`local?root=${main.nix.root}`, { env: main.nix.env });
    const file = textFile("of-local", "local");
    await local.addToStoreNar(file.info, chunks(file.nar));
    expect(await main.store.isValidPath(file.path)).toBe(true);
  });

  it("is aborted while it connects", async () => {
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    expect(await codeOf(openStore(main.nix.remote, { env: main.nix.env, signal: controller.signal }))).toBe(
      "aborted",
    );
  });
});

describe("pool and lost connections", () => {
  it("never has more connections than allowed, and serves all", async () => {
    await using small = await openStore(main.nix.remote, { env: main.nix.env, poolSize: 2 });
    const paths = Array.from({ length: 50 }, (_, i) => textFile(`pool-${i}`, `${i}`).path);
    const questions = paths.map((path) => small.isValidPath(path));
    expect(small.poolCounts.busy).toBeLessThanOrEqual(2);
    expect(small.poolCounts.waiting).toBeGreaterThan(0);
    await Promise.all(questions);
    expect(small.poolCounts).toEqual({ busy: 0, idle: 2, waiting: 0 });
  });

  it("goes on after the daemon was restarted, and fails while it is gone", async () => {
    const own = await startNixStore({ directory: main.directory, name: "restart" });
    try {
      await using theirs = await openStore(own.remote, { env: own.env });
      const file = textFile("restarted", "r");
      await theirs.addToStoreNar(file.info, chunks(file.nar));
      await own.stopDaemon();
      expect(await codeOf(theirs.isValidPath(file.path))).toBe("connect");
      await own.startDaemon();
      expect(await theirs.isValidPath(file.path)).toBe(true);
      await own.stopDaemon();
      await own.startDaemon();
      expect(await theirs.isValidPath(file.path)).toBe(true);
    } finally {
      await own.close();
    }
  });

  it("ends a build whose daemon dies, with an error", async () => {
    const own = await startNixStore({ directory: main.directory, name: "dying" });
    try {
      await using theirs = await openStore(own.remote, { env: own.env });
      const [full] = await own.instantiate(shellDerivation("dying", "echo begun; /bin/busybox sleep 1000"));
      const path = parseFullStorePath(theirs.storeDir, full ?? "");
      const drv = await theirs.readDerivation(path);
      const building = theirs.buildDerivation(path, basic(drv), {
        onLog: (line) => {
          if (Buffer.from(line).toString() === "begun") void own.stopDaemon();
        },
      });
      expect(await codeOf(building)).toBe("closed");
    } finally {
      await own.close();
    }
  });

  it("refuses everything after close, builds that are under way included", async () => {
    const closing = await openStore(main.nix.remote, { env: main.nix.env });
    const { path, drv } = await derivation(shellDerivation("closing", "echo begun; /bin/busybox sleep 5432"));
    const building = closing.buildDerivation(path, basic(drv), {
      onLog: (line) => {
        if (Buffer.from(line).toString() === "begun") void closing.close();
      },
    });
    expect(await codeOf(building)).toBe("closed");
    expect(await codeOf(closing.isValidPath(path))).toBe("closed");
    expect(await codeOf(closing.rootsSession())).toBe("closed");
    await until(
      "the end of the builder",
      async () => !(await commands()).some((line) => line.includes("sleep 5432")),
    );
  });

  it("leaves no daemon worker behind", async () => {
    if (main.nix.daemonPid === undefined) throw new Error("no daemon");
    const pid = main.nix.daemonPid;
    await main.store.close();
    await until("the end of the workers", async () => (await descendants(pid)).length === 0);
    await main.reopen();
  });
});
