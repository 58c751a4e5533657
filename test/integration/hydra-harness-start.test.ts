// Both programs started the way Hydra's own test-suite starts them: inherited sockets, stores whose
// physical and logical places differ, and hardly any configuration.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Child, startChild } from "../support/child.js";
import { HydraTables } from "../support/hydra-tables.js";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { builderProgram, queueRunnerProgram } from "../support/pair.js";
import { slowness } from "../support/slowness.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

interface Inherited {
  readonly server: Server;
  readonly fd: number;
  readonly port: number;
}

/** Binds as the harness does: dual stack, any port. Close it once the program has it, or both would accept. */
async function bind(): Promise<Inherited> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "::", done));
  const address = server.address();
  const handle: unknown = Reflect.get(server, "_handle");
  const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined;
  if (address === null || typeof address === "string" || typeof fd !== "number") throw new Error("no socket");
  return { server, fd, port: address.port };
}

let folder = "";
let url = "";
let central: TestNixStore | undefined;
let remote: TestNixStore | undefined;
let tables: HydraTables | undefined;
let running: Child[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-h-"));
  url = await testDatabase();
  // The builder's store has its files where their names say; the runner's has them below another root.
  const storeDir = join(folder, "builder/root/nix/store");
  const extraConf = "trusted-users = *";
  remote = await startNixStore({ directory: folder, name: "builder", storeDir, extraConf });
  central = await startNixStore({ directory: folder, name: "central", storeDir, extraConf });
  tables = await HydraTables.connect(url, central);
  await tables.addJobset();
});

afterAll(async () => {
  await tables?.close();
  await central?.close();
  await remote?.close();
  await rm(folder, { recursive: true, force: true });
});

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") {
    for (const child of running) process.stderr.write(`--- ${child.name}\n${child.output()}\n`);
  }
  for (const child of running.toReversed()) await child.stop();
  running = [];
});

async function startBoth(): Promise<string> {
  const [rest, grpc] = [await bind(), await bind()];
  const config = join(folder, "queue-runner.toml");
  await writeFile(
    config,
    `dbUrl = "${url}"\nhydraDataDir = "${folder}/hydra-data/data"\nremoteStoreAddr = ["file://${folder}/dest-store"]\n`,
  );
  const harness = { RUST_LOG: "queue_runner=debug,info", NO_COLOR: "1", LOGNAME: "tester" };
  const runner = startChild({
    name: "hydra-queue-runner",
    command: process.execPath,
    args: [
      queueRunnerProgram,
      "--config-path",
      config,
      "--rest-bind",
      "-",
      "--grpc-bind",
      "-",
      "--disable-queue-monitor-loop",
    ],
    env: {
      ...central?.env,
      ...harness,
      NIX_DAEMON_SOCKET_PATH: undefined,
      NIX_STATE_DIR: join(folder, "central/root/nix/var/nix"),
      HYDRA_DATA: join(folder, "hydra-data"),
      HYDRA_CONFIG: join(folder, "hydra.conf"),
      HYDRA_DATABASE_URL: url,
      LISTEN_FDS: "2",
      LISTEN_FDNAMES: "rest:grpc",
    },
    extraFds: [rest.fd, grpc.fd],
  });
  running.push(runner);
  rest.server.close();
  grpc.server.close();
  const base = `http://[::1]:${rest.port}`;
  await until("GET /status", () =>
    fetch(`${base}/status`).then(
      (response) => response.ok,
      () => false,
    ),
  );
  const builder = startChild({
    name: "hydra-builder",
    command: process.execPath,
    args: [builderProgram, "--gateway-endpoint", `http://[::1]:${grpc.port}`],
    // The harness changes to no folder; one without a config.toml is what counts.
    cwd: folder,
    env: {
      ...remote?.env,
      ...harness,
      NIX_DAEMON_SOCKET_PATH: undefined,
      NIX_STATE_DIR: join(folder, "builder/root/nix/var/nix"),
    },
  });
  running.push(builder);
  await until("a builder with a host name", async () => {
    if (!builder.running) throw new Error(`the builder ended:\n${builder.output()}`);
    return (await (await fetch(`${base}/status/machines`)).text()).includes('"hostname"');
  });
  return base;
}

async function runBuilds(base: string, ids: readonly number[]): Promise<void> {
  for (const buildId of ids) {
    const response = await fetch(`${base}/build_one`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ buildId }),
      // The suite waits so long, on a machine of its own.
      signal: AbortSignal.timeout(Math.ceil(2000 * slowness())),
    });
    expect(response.status).toBe(200);
  }
  await until("no build to be active", async () => {
    const texts = await Promise.all(
      ids.map(async (id) => (await fetch(`${base}/status/build/${id}/active`)).text()),
    );
    return !texts.some((text) => /true/.test(text));
  });
}

describe("started by Hydra's test harness", () => {
  test("builds exactly what it is told to", async () => {
    const base = await startBoth();
    const drvs =
      (await central?.instantiate(
        `[ ${["one", "two", "three"].map((name) => `(${shellDerivation(name, `echo ${name} > $out`)})`).join(" ")} ]`,
      )) ?? [];
    const [first = 0, second = 0, third = 0] = (await tables?.addBuilds(drvs.map((drv) => ({ drv })))) ?? [];
    await runBuilds(base, [first, second]);
    const rows = await tables?.rows([first, second, third]);
    expect(rows?.Builds.map((build) => `${build.finished}/${build.buildstatus}`)).toEqual([
      "1/0",
      "1/0",
      "0/null",
    ]);
    const log = rows?.BuildSteps[0];
    expect(log).toMatchObject({ build: first, status: 0, busy: 0 });
  });

  test("starts anew on the same folders and ends at once when told to", async () => {
    const base = await startBoth();
    const drvs = await central?.instantiate(shellDerivation("later", "echo later > $out; echo said"));
    const ids = (await tables?.addBuilds((drvs ?? []).map((drv) => ({ drv })))) ?? [];
    await runBuilds(base, ids);
    expect((await tables?.rows(ids))?.Builds).toMatchObject([{ finished: 1, buildstatus: 0 }]);
    for (const child of running.toReversed()) expect(await child.stop()).toEqual({ code: 0, signal: null });
  });
});
