/** The demo's build farm: stores, runner and builders, and the few requests that the demo sends to them. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { embeddedDatabaseUrl } from "hydra-runner/database";
import pg from "pg";
import { jobSetExpression } from "./jobs.js";
import { type DemoStore, instantiate, startStore } from "./nix-store.js";
import { type Service, startService } from "./processes.js";
import type { BuildRow } from "./report.js";

const run = promisify(execFile);
const system = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux`;

export interface FarmOptions {
  /** Everything the demo writes lies below. */
  readonly folder: string;
  /** Short path for Unix sockets. */
  readonly sockets: string;
  /** The checkout. */
  readonly root: string;
  readonly say: (line: string) => void;
}

export interface Submitted {
  readonly name: string;
  readonly build: number;
}

export interface Farm extends AsyncDisposable {
  readonly statusUrl: string;
  readonly cacheFolder: string;
  readonly publicKey: string;
  readonly busybox: string;
  submit(names: readonly string[]): Promise<Submitted[]>;
  wait(
    submitted: readonly Submitted[],
    options: { readonly signal: AbortSignal; readonly say: (line: string) => void },
  ): Promise<BuildRow[]>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise<void>((done) => server.close(() => done()));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

async function findBusybox(): Promise<string> {
  const { stdout } = await run("sh", ["-c", "command -v busybox"]);
  return stdout.trim();
}

async function makeKey(folder: string): Promise<{ readonly secretFile: string; readonly publicKey: string }> {
  const secretFile = join(folder, "cache-key.secret");
  const publicFile = join(folder, "cache-key.public");
  await run("nix-store", ["--generate-binary-cache-key", "demo-1", secretFile, publicFile]);
  const { stdout } = await run("cat", [publicFile]);
  return { secretFile, publicKey: stdout.trim() };
}

export async function startFarm(options: FarmOptions): Promise<Farm> {
  const { folder, sockets, root, say } = options;
  const stops: (() => Promise<void>)[] = [];
  const stopAll = async (): Promise<void> => {
    for (const stop of stops.reverse()) await stop();
  };
  try {
    const busybox = await findBusybox();
    const key = await makeKey(folder);
    const cacheFolder = join(folder, "cache");
    await mkdir(cacheFolder, { recursive: true });

    const stores: DemoStore[] = [];
    for (const [name, features] of [
      ["runner", []],
      ["builder-a", ["demo-feature"]],
      ["builder-b", []],
    ] as const) {
      const store = await startStore({
        directory: folder,
        socketDirectory: sockets,
        name,
        busybox,
        systemFeatures: features,
      });
      stops.push(() => store.stop());
      stores.push(store);
    }
    const [runnerStore, ...builderStores] = stores;
    if (runnerStore === undefined) throw new Error("no store for the runner");
    say("three Nix stores are up");

    const restPort = await freePort();
    const grpcPort = await freePort();
    const statusUrl = `http://127.0.0.1:${restPort}`;
    const runner = await startRunner({
      ...options,
      cacheFolder,
      key,
      restPort,
      grpcPort,
      store: runnerStore,
    });
    stops.push(() => runner.stop());
    await waitForRunner(statusUrl, runner);
    say("queue runner is up, with its own PostgreSQL");

    for (const [index, store] of builderStores.entries()) {
      const name = index === 0 ? "builder-a" : "builder-b";
      const builder = await startBuilder({ root, folder, name, grpcPort, store });
      stops.push(() => builder.stop());
    }
    await waitForBuilders(statusUrl, builderStores.length);
    say("two builders have joined");

    const database = new pg.Client({ connectionString: embeddedDatabaseUrl(join(folder, "hydra")) });
    await database.connect();
    stops.push(() => database.end());

    return {
      statusUrl,
      cacheFolder,
      publicKey: key.publicKey,
      busybox,
      submit: (names) => submit(statusUrl, runnerStore, busybox, names),
      wait: (submitted, how) => wait({ statusUrl, database, folder, cacheFolder, submitted, ...how }),
      [Symbol.asyncDispose]: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

async function startRunner(options: {
  readonly root: string;
  readonly folder: string;
  readonly cacheFolder: string;
  readonly key: { readonly secretFile: string };
  readonly restPort: number;
  readonly grpcPort: number;
  readonly store: DemoStore;
}): Promise<Service> {
  const { root, folder } = options;
  const config = join(folder, "queue-runner.toml");
  const cache = `file://${options.cacheFolder}?compression=zstd&write-nar-listing=true&secret-key=${options.key.secretFile}`;
  const settings = [
    `hydraDataDir = ${JSON.stringify(join(folder, "hydra"))}`,
    'dbUrl = "embedded:"',
    `rootsDir = ${JSON.stringify(join(folder, "hydra-roots"))}`,
    `remoteStoreAddr = [${JSON.stringify(cache)}]`,
    "retryInterval = 1",
  ];
  await writeFile(config, `${settings.join("\n")}\n`);
  return startService({
    name: "queue-runner",
    command: process.execPath,
    args: [
      join(root, "dist/bin/queue-runner.js"),
      "--config-path",
      config,
      "--rest-bind",
      `127.0.0.1:${options.restPort}`,
      "--grpc-bind",
      `127.0.0.1:${options.grpcPort}`,
    ],
    env: options.store.env,
    logFile: join(folder, "queue-runner.log"),
  });
}

async function startBuilder(options: {
  readonly root: string;
  readonly folder: string;
  readonly name: string;
  readonly grpcPort: number;
  readonly store: DemoStore;
}): Promise<Service> {
  const config = join(options.folder, `${options.name}.toml`);
  await writeFile(
    config,
    `hostname = "${options.name}"\nmaxJobs = 2\npingInterval = 1\nstoreAvailThreshold = 1.0\nbuildDirAvailThreshold = 1.0\n`,
  );
  return startService({
    name: options.name,
    command: process.execPath,
    args: [
      join(options.root, "dist/bin/hydra-builder.js"),
      "--config-path",
      config,
      "--gateway-endpoint",
      `http://127.0.0.1:${options.grpcPort}`,
    ],
    env: options.store.env,
    logFile: join(options.folder, `${options.name}.log`),
  });
}

async function getJson(url: string): Promise<Record<string, unknown>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

async function waitForRunner(statusUrl: string, runner: Service): Promise<void> {
  let ended: number | string | undefined;
  void runner.exited.then((code) => {
    ended = code;
  });
  for (let tries = 0; tries < 600; tries++) {
    if (ended !== undefined) break;
    try {
      await getJson(`${statusUrl}/status`);
      return;
    } catch {
      await sleep(100);
    }
  }
  throw new Error(`the queue runner did not start (${ended ?? "no answer"}), see ${runner.logFile}`);
}

async function waitForBuilders(statusUrl: string, count: number): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const { machinesCount } = await getJson(`${statusUrl}/status/machines`);
    if (machinesCount === count) return;
    await sleep(100);
  }
  throw new Error("the builders did not join, see their logs in .demo");
}

async function submit(
  statusUrl: string,
  store: DemoStore,
  busybox: string,
  names: readonly string[],
): Promise<Submitted[]> {
  const derivations = await instantiate(store, jobSetExpression(system, busybox));
  const submitted: Submitted[] = [];
  for (const name of names) {
    const response = await fetch(`${statusUrl}/build`, {
      method: "PUT",
      body: JSON.stringify({ jobsetId: 1, drv: derivations.get(name) }),
    });
    const answer = (await response.json()) as { readonly buildId?: number; readonly error?: string };
    if (answer.buildId === undefined)
      throw new Error(`${name} was refused: ${answer.error ?? response.status}`);
    submitted.push({ name, build: answer.buildId });
  }
  return submitted;
}

const statusNames: Readonly<Record<number, string>> = {
  0: "succeeded",
  1: "failed",
  2: "dependency failed",
  3: "aborted",
  4: "cancelled",
  6: "succeeded with failure marker",
  7: "timed out",
  9: "unsupported",
};

interface WaitOptions {
  readonly statusUrl: string;
  readonly database: pg.Client;
  readonly folder: string;
  readonly cacheFolder: string;
  readonly submitted: readonly Submitted[];
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Follows the builds until all are finished, and prints each result when it is known. */
async function wait(options: WaitOptions): Promise<BuildRow[]> {
  const { statusUrl, submitted, signal, say } = options;
  const open = new Map(submitted.map((build) => [build.build, build]));
  const rows: BuildRow[] = [];
  const deadline = Date.now() + 300_000;
  while (open.size > 0) {
    signal.throwIfAborted();
    if (Date.now() > deadline)
      throw new Error(`not finished in time: ${[...open.values()].map((b) => b.name).join(", ")}`);
    for (const build of [...open.values()]) {
      const { active } = await getJson(`${statusUrl}/status/build/${build.build}/active`);
      if (active === true) continue;
      open.delete(build.build);
      const row = await readRow(options, build);
      rows.push(row);
      say(
        `[${String(rows.length).padStart(2)}/${submitted.length}] ${row.name}: ${row.status}${row.machine === "" ? "" : ` on ${row.machine}`}`,
      );
    }
    await sleep(100);
  }
  return rows.sort((a, b) => a.build - b.build);
}

async function readRow(options: WaitOptions, build: Submitted): Promise<BuildRow> {
  const { database, folder, cacheFolder } = options;
  const found = await database.query<{
    buildstatus: number;
    starttime: string;
    stoptime: string;
    drvpath: string;
  }>("select buildstatus, starttime, stoptime, drvpath from builds where id = $1", [build.build]);
  const row = found.rows[0];
  if (row === undefined) throw new Error(`build ${build.build} has no row`);
  const steps = await database.query<{
    machine: string;
    drvpath: string;
    status: number | null;
    path: string | null;
  }>(
    `select s.machine, s.drvpath, s.status, o.path
       from buildsteps s left join buildstepoutputs o on o.build = s.build and o.stepnr = s.stepnr
      where s.drvpath = $1 or s.build = $2 order by s.build, s.stepnr, o.name`,
    [row.drvpath, build.build],
  );
  const own = steps.rows.filter((step) => step.drvpath === row.drvpath);
  const succeeded = row.buildstatus === 0 || row.buildstatus === 6;
  const outputs = succeeded ? [...new Set(own.flatMap((step) => step.path ?? []))] : [];
  const hash = outputs[0]?.slice("/nix/store/".length, "/nix/store/".length + 32);
  const base = row.drvpath.slice("/nix/store/".length);
  return {
    build: build.build,
    name: build.name,
    status: statusNames[row.buildstatus] ?? `status ${row.buildstatus}`,
    machine: (own.length > 0 ? own : steps.rows).find((step) => step.machine !== "")?.machine ?? "",
    startTime: Number(row.starttime),
    stopTime: Number(row.stoptime),
    outputs,
    cacheUrl: hash === undefined ? "" : `file://${join(cacheFolder, `${hash}.narinfo`)}`,
    logFile: own.length > 0 ? join(folder, "hydra/build-logs", base.slice(0, 2), base.slice(2)) : undefined,
  };
}
