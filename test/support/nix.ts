// Scratch Nix stores for tests: each has its own root directory, configuration and daemon.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface TestNixStoreOptions {
  /** A scratch directory (made when missing); everything of the store lies in `<directory>/<name>`. */
  readonly directory: string;
  readonly name: string;
  readonly systemFeatures?: readonly string[];
  /** More lines for nix.conf. */
  readonly extraConf?: string;
  /** The logical store directory; default `/nix/store`. */
  readonly storeDir?: string;
  /** Start a daemon (default). Without one, `remote` names the store directly. */
  readonly daemon?: boolean;
  /** Another nix-daemon program than the one on PATH. */
  readonly daemonProgram?: string;
}

export interface TestNixStore {
  readonly name: string;
  readonly root: string;
  /** The physical store directory. */
  readonly realStoreDir: string;
  readonly storeDir: string;
  /** Value for NIX_REMOTE: `unix://SOCKET?root=ROOT` (with a daemon) or `local?root=ROOT`. */
  readonly remote: string;
  readonly socket: string;
  readonly confDir: string;
  /** A whole environment for programs that shall use this store (NIX_REMOTE, NIX_CONF_DIR, PATH, HOME, …). */
  readonly env: Readonly<Record<string, string>>;
  readonly daemonPid: number | undefined;
  /** Evaluates an expression and returns the full paths of the derivations it yields. */
  instantiate(expression: string): Promise<string[]>;
  /** Runs a program (nix-store, nix-build, …) against this store and returns its output. */
  run(program: string, args: readonly string[]): Promise<string>;
  /** Stops the daemon as a crash would: the connections die, the store stays. */
  stopDaemon(): Promise<void>;
  startDaemon(): Promise<void>;
  /** Ends what the daemon does for its clients now, builds too; it goes on to answer new connections. */
  killWorkers(): Promise<void>;
  /** Stops the daemon with all its builds and removes the files. */
  close(): Promise<void>;
}

/** A Nix expression for a derivation that runs `script` with the static shell; `attributes` is Nix text. */
export function shellDerivation(name: string, script: string, attributes = ""): string {
  const quoted = script.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("${", "\\${");
  return `derivation { name = "${name}"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "${quoted}" ]; ${attributes} }`;
}

export async function startNixStore(options: TestNixStoreOptions): Promise<TestNixStore> {
  const base = join(options.directory, options.name);
  const root = join(base, "root");
  const confDir = join(base, "conf");
  const temporary = join(base, "tmp");
  for (const directory of [root, confDir, temporary]) await mkdir(directory, { recursive: true });
  const storeDir = options.storeDir ?? "/nix/store";
  const own = storeDir === "/nix/store" ? "" : `&store=${storeDir}`;

  // sun_path holds 107 bytes, and Node does not shorten paths by changing directory as Nix does.
  let socketDirectory: string | undefined;
  let socket = join(base, "daemon.sock");
  if (Buffer.byteLength(socket) > 100) {
    socketDirectory = await mkdtemp(join(tmpdir(), "nixd-"));
    socket = join(socketDirectory, "d.sock");
  }

  await writeFile(
    join(confDir, "nix.conf"),
    `${[
      "build-users-group =",
      // What is lost with the machine does not matter here, and waiting for a disk costs.
      "fsync-metadata = false",
      "sandbox = false",
      "sandbox-fallback = false",
      "sandbox-paths = /bin/sh=/bin/busybox /bin/busybox",
      "substituters =",
      "max-jobs = 4",
      "experimental-features = nix-command ca-derivations",
      ...(options.systemFeatures === undefined
        ? []
        : [`system-features = ${options.systemFeatures.join(" ")}`]),
      options.extraConf ?? "",
    ].join("\n")}\n`,
  );

  const direct = `local?root=${root}${own}`;
  const remote = options.daemon === false ? direct : `unix://${socket}?root=${root}${own}`;
  const common = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: base,
    TMPDIR: temporary,
    NIX_CONF_DIR: confDir,
  };
  const storeEnvironment = storeDir === "/nix/store" ? {} : { NIX_STORE_DIR: storeDir };
  const env = { ...common, ...storeEnvironment, NIX_REMOTE: remote, NIX_DAEMON_SOCKET_PATH: socket };

  let daemon: ChildProcess | undefined;
  const startDaemon = async (): Promise<void> => {
    await rm(socket, { force: true });
    const child = spawn(options.daemonProgram ?? "nix-daemon", ["--store", own === "" ? root : direct], {
      env: { ...common, ...storeEnvironment, NIX_DAEMON_SOCKET_PATH: socket },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaints = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      if (complaints.length < 10_000) complaints += chunk.toString();
    });
    daemon = child;
    const deadline = Date.now() + 120_000;
    while (!(await answers(socket))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await stopTree(child);
        throw new Error(`nix-daemon did not start: ${complaints}`);
      }
      await sleep(10);
    }
  };
  const stopDaemon = async (): Promise<void> => {
    const child = daemon;
    daemon = undefined;
    if (child !== undefined) await stopTree(child);
  };

  // A new store is made before the daemon runs: two of its workers that both find none get into each other's way.
  if (options.daemon !== false) {
    await run("nix-store", ["--init"], { env: { ...common, ...storeEnvironment, NIX_REMOTE: direct } });
    await startDaemon();
  }
  const runHere = async (program: string, args: readonly string[]): Promise<string> => {
    const { stdout } = await run(program, [...args], { env, maxBuffer: 64 << 20 });
    return stdout;
  };
  return {
    name: options.name,
    root,
    realStoreDir: join(root, "nix/store"),
    storeDir,
    remote,
    socket,
    confDir,
    env,
    get daemonPid() {
      return daemon?.pid;
    },
    instantiate: async (expression) =>
      (await runHere("nix-instantiate", ["-E", expression]))
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.replace(/!.*/, "")),
    run: runHere,
    stopDaemon,
    startDaemon,
    killWorkers: async () => {
      if (daemon?.pid !== undefined) killEach(await descendants(daemon.pid));
    },
    close: async () => {
      await stopDaemon();
      // Store paths are read-only, also the directories.
      await run("chmod", ["-R", "u+w", base]).catch(() => undefined);
      await rm(base, { recursive: true, force: true, maxRetries: 5 });
      if (socketDirectory !== undefined) await rm(socketDirectory, { recursive: true, force: true });
    },
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** The daemon's workers leave its process group, so the family is found by parent numbers before anyone dies. */
async function stopTree(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) return;
  const family = await descendants(child.pid);
  const gone = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
  killEach([child.pid, ...family]);
  await gone;
}

function killEach(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // gone already
    }
  }
}

/** All processes below `pid`, from /proc. */
export async function descendants(pid: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => "");
    // pid (name, which may hold blanks and brackets) state ppid …
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const found: number[] = [];
  const queue = [pid];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const each of children.get(next) ?? []) {
      found.push(each);
      queue.push(each);
    }
  }
  return found;
}
