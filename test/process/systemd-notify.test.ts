/** Messages to the service manager; the manager is a datagram socket of the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createLogger } from "../../lib/log.js";
import {
  notifySystemd,
  printServiceState,
  SystemdNotifier,
  watchdogIntervalMs,
} from "../../lib/process/index.js";
import { type ScratchFolder, scratchFolder } from "./child.js";

let folder: ScratchFolder;
beforeEach(async () => {
  folder = await scratchFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());
const receivers: ChildProcess[] = [];
afterEach(() => {
  for (const child of receivers.splice(0)) child.kill("SIGKILL");
});

/** What a receiver got, a message per element. Reads descriptors too, as the real one does, and so ends barriers. */
async function receiver(): Promise<{
  env: Record<string, string>;
  readonly message: () => Promise<string[]>;
}> {
  const socket = join(folder.path, "notify");
  const code = `
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("ready", flush=True)
while True:
    data, fds, _, _ = socket.recv_fds(s, 65536, 8)
    for fd in fds: os.close(fd)
    if data != b"BARRIER=1": print(json.dumps(data.decode().strip().split("\\n")), flush=True)
`;
  const child = spawn("python3", ["-c", code, socket], { stdio: ["ignore", "pipe", "inherit"] });
  receivers.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("ready");
  return {
    env: { NOTIFY_SOCKET: socket, PATH: process.env.PATH ?? "/usr/bin:/bin" },
    message: async () => JSON.parse(String((await lines.next()).value)) as string[],
  };
}

describe("printServiceState", () => {
  it("keeps a text in one line and the order that managers expect", () => {
    expect(printServiceState({ ready: true, status: "Running\n  well", errno: 1 })).toEqual([
      "STATUS=Running well",
      "ERRNO=1",
      "READY=1",
    ]);
    expect(printServiceState({ stopping: true, extendTimeoutMs: 1500.5, watchdog: true })).toEqual([
      "STOPPING=1",
      "EXTEND_TIMEOUT_USEC=1500500",
      "WATCHDOG=1",
    ]);
    expect(printServiceState({})).toEqual([]);
  });

  it("dates a reload by the monotonic clock", () => {
    const [first, second] = printServiceState({ reloading: true });
    expect(first).toBe("RELOADING=1");
    expect(second).toMatch(/^MONOTONIC_USEC=\d+$/);
  });
});

describe("notifySystemd", () => {
  it("does nothing without a manager", async () => {
    expect(await notifySystemd({ ready: true }, { env: {} })).toBe(false);
    expect(await notifySystemd({ ready: true }, { env: { NOTIFY_SOCKET: "" } })).toBe(false);
    expect(await notifySystemd({}, { env: { NOTIFY_SOCKET: "/nowhere" } })).toBe(false);
  });

  it.each([true, false])("sends one message (waiting for its receipt: %s)", async (waitForReceipt) => {
    const { env, message } = await receiver();
    expect(await notifySystemd({ status: "--status=odd $HOME", ready: true }, { env, waitForReceipt })).toBe(
      true,
    );
    expect(await message()).toEqual(["STATUS=--status=odd $HOME", "READY=1"]);
  });

  it("says so when nobody listens or the program is missing", async () => {
    const socket = join(folder.path, "none");
    const env = { NOTIFY_SOCKET: socket, PATH: process.env.PATH ?? "" };
    await expect(notifySystemd({ ready: true }, { env })).rejects.toMatchObject({ code: "notify-failed" });
    await expect(
      notifySystemd({ ready: true }, { env: { ...env, PATH: folder.path } }),
    ).rejects.toMatchObject({ code: "notify-failed" });
  });
});

describe("SystemdNotifier", () => {
  it("sends in order, joins what waits, and never mixes a reload's begin with its end", async () => {
    const { env, message } = await receiver();
    await using notifier = new SystemdNotifier({ env });
    void notifier.notify({ status: "one", ready: true });
    void notifier.notify({ status: "two" });
    void notifier.notify({ status: "three" });
    void notifier.notify({ reloading: true });
    await notifier.notify({ status: "reloaded", ready: true });
    await notifier.notify({ stopping: true });
    expect(await message()).toEqual(["STATUS=one", "READY=1"]);
    expect(await message()).toEqual(["STATUS=three"]);
    expect((await message())[0]).toBe("RELOADING=1");
    expect(await message()).toEqual(["STATUS=reloaded", "READY=1"]);
    expect(await message()).toEqual(["STOPPING=1"]);
  });

  it("says what is done at once, then the last of what follows a second later", async () => {
    const { env, message } = await receiver();
    await using notifier = new SystemdNotifier({ env });
    const started = performance.now();
    for (let build = 0; build < 50; build++) notifier.activity(`Building ${build}`);
    expect(await message()).toEqual(["STATUS=Building 0", "READY=1"]);
    expect(await message()).toEqual(["STATUS=Building 49", "READY=1"]);
    expect(performance.now() - started).toBeGreaterThanOrEqual(1_000);
  });

  it("complains once and goes on when the manager cannot be told", async () => {
    const lines: string[] = [];
    const logger = createLogger({ target: "t", write: (line) => lines.push(line) });
    await using notifier = new SystemdNotifier({
      env: { NOTIFY_SOCKET: join(folder.path, "none"), PATH: process.env.PATH ?? "" },
      logger,
    });
    await notifier.notify({ ready: true });
    await notifier.notify({ status: "still here" });
    expect(lines).toHaveLength(1);
  });

  it("sends signs of life only while the service is well", async () => {
    const { env, message } = await receiver();
    let asked = 0;
    await using notifier = new SystemdNotifier({ env: { ...env, WATCHDOG_USEC: "20000" } });
    notifier.startWatchdog(() => ++asked === 3);
    expect(await message()).toEqual(["WATCHDOG=1"]);
    expect(asked).toBeGreaterThanOrEqual(3);
  });

  it("reads the watchdog's variables", () => {
    expect(watchdogIntervalMs({})).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "30000000" })).toBe(15_000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "5" }, 5)).toBe(15_000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "6" }, 5)).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "0" })).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: "soon" })).toBeUndefined();
  });
});

it("a program whose manager is this test becomes ready and stops", async () => {
  const { env, message } = await receiver();
  const child = await folder.start(
    `
    await lib.runProgram(async () => {
      const signals = lib.shutdownSignals();
      const notifier = new lib.SystemdNotifier();
      const stopped = new Promise((resolve) => signals.first.addEventListener("abort", resolve));
      const alive = setInterval(() => {}, 1000);
      await notifier.notify({ status: "Running", ready: true });
      await stopped;
      await notifier.notify({ stopping: true });
      clearInterval(alive);
    }, { name: "service" });
    `,
    { env },
  );
  expect(await message()).toEqual(["STATUS=Running", "READY=1"]);
  child.process.kill("SIGTERM");
  expect(await message()).toEqual(["STOPPING=1"]);
  expect((await child.ended).code).toBe(0);
});
