// Both programs as Hydra's own test-suite runs them: inherited sockets, stores whose physical and logical places
// differ, hardly any configuration, and fresh processes for every group of builds, except where tests say that they
// share them.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Child, startChild } from "./child.js";
import { HydraTables } from "./hydra-tables.js";
import { startNixStore, type TestNixStore } from "./nix.js";
import { NotificationRecorder } from "./notifications.js";
import { builderProgram, queueRunnerProgram } from "./pair.js";
import { slowness } from "./slowness.js";
import { diskFolder } from "./temporary-folder.js";
import { testDatabase } from "./test-database.js";
import { until } from "./until.js";

export interface RunOptions {
  /** Default true; without it there is no `remoteStoreAddr`. */
  readonly destinationStore?: boolean;
  /** hydra.conf's `use-substitutes = 1`. */
  readonly useSubstitutes?: boolean;
  /** Happens while the builds are under way. */
  readonly meanwhile?: () => Promise<void>;
}

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

export class HydraSuite implements AsyncDisposable {
  readonly folder: string;
  readonly central: TestNixStore;
  readonly remote: TestNixStore;
  readonly tables: HydraTables;
  readonly notifications: NotificationRecorder;
  readonly #url: string;
  #running: Child[] = [];
  #areShared = false;

  private constructor(parts: {
    readonly folder: string;
    readonly central: TestNixStore;
    readonly remote: TestNixStore;
    readonly tables: HydraTables;
    readonly notifications: NotificationRecorder;
    readonly url: string;
  }) {
    this.folder = parts.folder;
    this.central = parts.central;
    this.remote = parts.remote;
    this.tables = parts.tables;
    this.notifications = parts.notifications;
    this.#url = parts.url;
  }

  static async create(): Promise<HydraSuite> {
    // Builds see this store by the name of its folder, and a memory of their own at /dev/shm.
    const folder = await mkdtemp(join(diskFolder(), "hydra-h-"));
    const url = await testDatabase();
    // The builder's store has its files where their names say; the runner's has them below another root.
    const storeDir = join(folder, "builder/root/nix/store");
    const remote = await startNixStore({
      directory: folder,
      name: "builder",
      storeDir,
      systemFeatures: ["test-system-feature"],
      extraConf: "trusted-users = *",
    });
    const central = await startNixStore({
      directory: folder,
      name: "central",
      storeDir,
      extraConf: `trusted-users = *\nsubstituters = file://${join(folder, "substituter")}?trusted=1`,
    });
    const tables = await HydraTables.connect(url, central);
    await tables.addJobset();
    const notifications = await NotificationRecorder.connect(url);
    return new HydraSuite({ folder, central, remote, tables, notifications, url });
  }

  get destination(): string {
    return join(this.folder, "nix/dest-store");
  }

  /** Queues the derivations that expressions yield, without notifying anyone. */
  async evaluate(...expressions: readonly string[]): Promise<number[]> {
    const output = await this.central.run("nix-instantiate", ["-E", ...expressions]);
    const drvs = output.split("\n").filter((line) => line !== "");
    return this.tables.addBuilds(
      drvs.map((drv) => ({
        drv,
        job: /-(.*)\.drv$/.exec(drv.slice(this.central.storeDir.length))?.[1] ?? drv,
      })),
    );
  }

  /** Starts runner and builder on the same folders; the base URL of the status API. */
  async start(options: RunOptions = {}): Promise<string> {
    const [rest, grpc] = [await bind(), await bind()];
    const config = join(this.folder, "queue-runner.toml");
    const lines = [`dbUrl = "${this.#url}"`, `hydraDataDir = "${this.folder}/hydra-data/data"`];
    if (options.destinationStore !== false) lines.push(`remoteStoreAddr = ["file://${this.destination}"]`);
    if (options.useSubstitutes === true) lines.push("useSubstitutes = true");
    await writeFile(config, `${lines.join("\n")}\n`);
    const harness = {
      RUST_LOG: "queue_runner=debug,info",
      NO_COLOR: "1",
      LOGNAME: "tester",
      NIX_DAEMON_SOCKET_PATH: undefined,
    };
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
        ...this.central.env,
        ...harness,
        NIX_STATE_DIR: join(this.folder, "central/root/nix/var/nix"),
        HYDRA_DATA: join(this.folder, "hydra-data"),
        HYDRA_CONFIG: join(this.folder, "hydra.conf"),
        HYDRA_DATABASE_URL: this.#url,
        LISTEN_FDS: "2",
        LISTEN_FDNAMES: "rest:grpc",
      },
      extraFds: [rest.fd, grpc.fd],
    });
    this.#running.push(runner);
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
      cwd: this.folder,
      env: {
        ...this.remote.env,
        ...harness,
        NIX_STATE_DIR: join(this.folder, "builder/root/nix/var/nix"),
      },
    });
    this.#running.push(builder);
    await until("a builder with a host name", async () => {
      if (!builder.running) throw new Error(`the builder ended:\n${builder.output()}`);
      return (await (await fetch(`${base}/status/machines`)).text()).includes('"hostname"');
    });
    return base;
  }

  /** POST /build_one for each, in order, and waits until none is active. */
  async buildOn(base: string, ids: readonly number[]): Promise<void> {
    for (const buildId of ids) {
      const response = await fetch(`${base}/build_one`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ buildId }),
        // The suite waits so long, on a machine of its own.
        signal: AbortSignal.timeout(Math.ceil(2000 * slowness())),
      });
      if (!response.ok) throw new Error(`/build_one answered ${response.status}: ${await response.text()}`);
    }
    await until("no build to be active", async () => {
      const texts = await Promise.all(
        ids.map(async (id) => (await fetch(`${base}/status/build/${id}/active`)).text()),
      );
      return !texts.some((text) => /true/.test(text));
    });
  }

  /** What the suite calls runBuilds: fresh processes, the builds, and an orderly end. */
  async runBuilds(ids: readonly number[], options: RunOptions = {}): Promise<void> {
    const base = await this.start(options);
    await Promise.all([this.buildOn(base, ids), options.meanwhile?.()]);
    await this.end();
  }

  /** Starts processes that stay when a test is over, until `end`. */
  async startShared(): Promise<string> {
    this.#areShared = true;
    return this.start();
  }

  /** An orderly end of what runs. */
  async end(): Promise<void> {
    const programs = this.#running;
    for (const end of await this.stop()) {
      if (end.code === 0) continue;
      throw new Error(`a program ended with ${end.code} ${end.signal}\n${outputs(programs)}`);
    }
  }

  /** What no test is to find of the one before it. */
  async endOfTest(): Promise<void> {
    if (!this.#areShared) await this.stop();
  }

  /** Builder first. */
  async stop(): Promise<readonly { readonly code: number | null; readonly signal: string | null }[]> {
    const ends = [];
    for (const child of this.#running.toReversed()) ends.push(await child.stop());
    this.#running = [];
    this.#areShared = false;
    return ends;
  }

  /** The log of a derivation where Hydra's front-end looks for it. */
  async log(drvPath: string): Promise<string> {
    const name = drvPath.slice(this.central.storeDir.length + 1);
    return readFile(join(this.folder, "hydra-data/data/build-logs", name.slice(0, 2), name.slice(2)), "utf8");
  }

  /** Deletes a path of the central store, whoever needs it; a daemon would not allow that. */
  async deleteCentral(path: string): Promise<void> {
    const direct = `local?root=${this.central.root}&store=${this.central.storeDir}`;
    const remove = ["--store", direct, "--delete", "--ignore-liveness", path];
    // A worker of the daemon keeps what its client has used alive, and ends a moment after that client.
    await until(`nobody to use ${path}`, async () => {
      try {
        await this.central.run("nix-store", remove);
        return true;
      } catch (error) {
        if (/still alive/.test(String(error))) return false;
        throw error;
      }
    });
  }

  report(): string {
    return outputs(this.#running);
  }

  async close(): Promise<void> {
    await this.stop();
    await this.tables.close();
    await this.notifications.close();
    await this.central.close();
    await this.remote.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function outputs(programs: readonly Child[]): string {
  return programs.map((child) => `--- ${child.name}\n${child.output()}`).join("\n");
}

/**
 * One pair of processes for all tests of a `describe`, with an orderly end after the last one; what builds on them.
 * For builds of which nothing is expected that the end of the processes would bring about.
 */
export function useSharedProcesses(suite: () => HydraSuite): (ids: readonly number[]) => Promise<void> {
  let base = "";
  beforeAll(async () => {
    base = await suite().startShared();
  });
  afterAll(() => suite().end());
  return (ids) => suite().buildOn(base, ids);
}

/** One suite for all tests of a file. */
export function useHydraSuite(): () => HydraSuite {
  let suite: HydraSuite | undefined;
  beforeAll(async () => {
    suite = await HydraSuite.create();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(`${suite?.report() ?? ""}\n`);
    await suite?.endOfTest();
  });
  afterAll(() => suite?.close());
  return () => {
    if (suite === undefined) throw new Error("the suite was not started");
    return suite;
  };
}
