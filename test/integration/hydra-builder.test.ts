// The program itself, as users start it, against a server that speaks the real contract.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DaemonStore } from "../../lib/nix/daemon/daemon-store.js";
import { RunnerServer } from "../../lib/rpc/server/index.js";
import { buildOrder } from "../support/build-order.js";
import { FakeRunner, type FakeRunnerOptions } from "../support/fake-runner.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";

const programPath = fileURLToPath(new URL("../../dist/bin/hydra-builder.js", import.meta.url));

let directory: string;
let runnerNix: TestNixStore;
let builderNix: TestNixStore;
let runnerStore: DaemonStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "hydra-builder-"));
  runnerNix = await startNixStore({ directory, name: "runner" });
  builderNix = await startNixStore({ directory, name: "builder" });
  runnerStore = await DaemonStore.open({ remote: runnerNix.remote, env: runnerNix.env });
});

afterAll(async () => {
  await runnerStore.close();
  await runnerNix.close();
  await builderNix.close();
  await rm(directory, { recursive: true, force: true });
});

const servers: RunnerServer[] = [];
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const server of servers.splice(0)) await server.close();
});

interface Program {
  readonly child: ChildProcess;
  /** What it wrote to standard error so far. */
  readonly said: () => string;
  readonly exit: Promise<number | null>;
  /** Waits as the runner does, but not for a builder that is gone. */
  readonly until: (runner: FakeRunner, done: () => boolean) => Promise<void>;
}

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  const child = spawn(process.execPath, [programPath, ...args], {
    cwd: directory,
    env: { ...builderNix.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const exit = once(child, "close").then(([code]) => code as number | null);
  const ended = exit.then((code) => {
    throw new Error(`the builder ended with ${code}: ${said}`);
  });
  ended.catch(() => undefined);
  const until = (runner: FakeRunner, done: () => boolean) => Promise.race([runner.until(done), ended]);
  return { child, said: () => said, exit, until };
}

async function listen(
  runner: FakeRunner,
  port: number,
  tokenPaths?: readonly string[],
): Promise<RunnerServer> {
  const server = await RunnerServer.start({
    handlers: runner.handlers(),
    storeDir: runnerStore.storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port }],
    tokenPaths,
  });
  servers.push(server);
  return server;
}

async function serve(options: FakeRunnerOptions = {}, tokenPaths?: readonly string[]) {
  const runner = new FakeRunner({ store: runnerStore, ...options });
  const server = await listen(runner, 0, tokenPaths);
  const { port } = server.addresses[0] as AddressInfo;
  return { runner, server, port, endpoint: `http://127.0.0.1:${port}` };
}

async function config(text: string): Promise<string> {
  const path = join(directory, `config-${Math.random()}.toml`);
  await writeFile(path, text);
  return path;
}

const noRetry = "reconnectTimeoutInS = 0\n";

describe("a running builder", () => {
  test("builds, and ends with code 0 at SIGTERM", async () => {
    const { runner, endpoint } = await serve();
    const program = start(["-g", endpoint, "-c", await config("pingInterval = 1\nmaxJobs = 3\n")]);
    await program.until(runner, () => runner.pings.length > 0);
    expect(runner.joins[0]).toMatchObject({ maxJobs: 3, nixVersion: expect.stringContaining("nix") });

    const input = shellDerivation(`input-${process.pid}`, "echo input > $out");
    const build = await buildOrder(
      runnerNix,
      runnerStore,
      `let i = ${input}; in ${shellDerivation(`program-${process.pid}`, "read x < $i; echo got $x; echo $i > $out", "i = i;")}`,
    );
    runner.send({ kind: "build", build });
    const completion = await runner.completion(build.buildId);
    expect(completion).toMatchObject({ state: "success", machineId: runner.joins[0]?.machineId });
    expect(runner.logs.get(build.drv)).toBe("got input\n");
    const out = completion.outputs.get("out")?.path;
    expect(out !== undefined && (await runnerStore.isValidPath(out))).toBe(true);

    program.child.kill("SIGTERM");
    expect(await program.exit).toBe(0);
  });

  test("drains at SIGTERM when it has time for it, and a second signal cuts that short", async () => {
    const { runner, endpoint } = await serve();
    const program = start(["-g", endpoint, "-c", await config("pingInterval = 1\ndrainTimeoutInS = 600\n")]);
    await program.until(runner, () => runner.pings.length > 0);
    const build = await buildOrder(
      runnerNix,
      runnerStore,
      shellDerivation(`drain-${process.pid}`, "echo the build has started; /bin/busybox sleep 1000"),
    );
    runner.send({ kind: "build", build });
    await program.until(
      runner,
      () => runner.logs.get(build.drv) !== undefined && runner.logs.get(build.drv) !== "",
    );
    program.child.kill("SIGTERM");
    await program.until(runner, () => runner.pings.at(-1)?.storeFreePercent === 0);
    expect(program.child.exitCode).toBeNull();
    program.child.kill("SIGTERM");
    expect(await program.exit).toBe(0);
    expect(runner.completions).toEqual([]);
  });

  test("survives a restart of a runner that takes builders back, with what it builds", async () => {
    const { runner, server, port, endpoint } = await serve({ version: "1+resume" });
    const program = start(["-g", endpoint, "-c", await config("pingInterval = 1\n")]);
    await program.until(runner, () => runner.pings.length > 0);
    const build = await buildOrder(
      runnerNix,
      runnerStore,
      shellDerivation(
        `resume-${process.pid}`,
        "echo before the restart; /bin/busybox sleep 3; echo after it; echo > $out",
      ),
    );
    runner.send({ kind: "build", build });
    await program.until(runner, () => runner.logs.get(build.drv) === "before the restart\n");
    await server.close();
    await listen(runner, port);
    await program.until(runner, () => runner.joins.length === 2);
    const [first, second] = runner.joins;
    expect(second?.machineId).toBe(first?.machineId);
    expect(await runner.completion(build.buildId)).toMatchObject({ state: "success" });
    // The log is sent again from its start, because the call it came with is gone.
    expect(runner.logs.get(build.drv)).toBe("before the restart\nafter it\n");
  });

  test("sends its token", async () => {
    const token = join(directory, "token");
    await writeFile(token, "s3cret\n");
    const { runner, endpoint } = await serve({}, [token]);
    const refused = start(["-g", endpoint, "-c", await config(noRetry)]);
    expect(await refused.exit).toBe(1);
    const taken = start(["-g", endpoint, "-c", await config(noRetry), "--authorization-file", token]);
    await taken.until(runner, () => runner.joins.length === 1);
    expect(taken.said()).not.toContain("s3cret");
  });
});

describe("a builder that cannot run says why in one line and ends", () => {
  test("with 65 when the runner has another version", async () => {
    const { endpoint } = await serve({ compatible: false, version: "other" });
    const program = start(["-g", endpoint]);
    expect(await program.exit).toBe(65);
    expect(program.said()).toContain("other");
  });

  test("with 1 when there is no runner", async () => {
    const program = start(["-g", "http://127.0.0.1:1", "-c", await config(noRetry)]);
    expect(await program.exit).toBe(1);
    expect(program.said()).not.toMatch(/^ +at /m);
  });

  test("with 2 when there is no daemon", async () => {
    const program = start([], { NIX_REMOTE: `unix://${directory}/no-socket` });
    expect(await program.exit).toBe(2);
    expect(program.said()).toContain("nix-daemon");
  });

  test.each<[string, readonly string[]]>([
    ["an unknown option", ["--verbose"]],
    ["an address that is none", ["-g", "ftp://runner"]],
    ["a settings file that is not there", ["-c", "/no/such/file.toml"]],
    ["a token file that is not there", ["--authorization-file", "/no/such/token"]],
    ["a certificate without a key", ["--client-cert-path", "/dev/null"]],
  ])("with 2 for %s", async (_, args) => {
    const program = start(args);
    expect(await program.exit).toBe(2);
    expect(program.said()).not.toMatch(/^ +at /m);
  });

  test("with 2 for a setting that does not exist", async () => {
    const program = start(["-c", await config("maxJob = 1\n")]);
    expect(await program.exit).toBe(2);
    expect(program.said()).toContain("maxJob");
  });
});
