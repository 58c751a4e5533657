/**
 * A Nix store for the demo: a root folder, a configuration and a daemon on a socket.
 *
 * The logical store folder stays /nix/store, so outputs are the same everywhere; the files lie below the root.
 * The machine's own /nix is not touched.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Service, startService } from "./processes.js";

const run = promisify(execFile);

export interface DemoStore {
  readonly root: string;
  /** Value of NIX_REMOTE for programs that use this store. */
  readonly remote: string;
  readonly env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

export interface DemoStoreOptions {
  readonly directory: string;
  /** Folder for the daemon's socket; its path must be short. */
  readonly socketDirectory: string;
  readonly name: string;
  readonly busybox: string;
  readonly systemFeatures: readonly string[];
}

/** Environment for `nix` programs that work on a store below `root` with the configuration in `confDir`. */
function storeEnvironment(confDir: string, home: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, NIX_CONF_DIR: confDir, HOME: home };
  for (const name of ["NIX_REMOTE", "NIX_PATH", "NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_CONFIG"])
    delete env[name];
  return env;
}

/** Writes nix.conf for a rooted store; builds run in a chroot that contains only the static shell. */
export async function configureStore(options: DemoStoreOptions): Promise<{
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
}> {
  const base = join(options.directory, options.name);
  const confDir = join(base, "conf");
  const home = join(base, "home");
  await mkdir(confDir, { recursive: true });
  await mkdir(home, { recursive: true });
  const settings = [
    "build-users-group =",
    "sandbox = false",
    "sandbox-fallback = false",
    `sandbox-paths = /bin/sh=${options.busybox} ${options.busybox}`,
    "substituters =",
    "experimental-features = nix-command ca-derivations",
    `system-features = ${options.systemFeatures.join(" ")}`,
    "trusted-users = *",
  ];
  await writeFile(join(confDir, "nix.conf"), `${settings.join("\n")}\n`);
  return { root: join(base, "root"), env: storeEnvironment(confDir, home) };
}

export async function startStore(options: DemoStoreOptions): Promise<DemoStore> {
  const { root, env } = await configureStore(options);
  const socket = join(options.socketDirectory, `${options.name}.sock`);
  await run("nix-store", ["--init", "--store", root], { env });
  const daemon: Service = startService({
    name: `nix-daemon of ${options.name}`,
    command: "nix-daemon",
    args: ["--store", root],
    env: { ...env, NIX_DAEMON_SOCKET_PATH: socket },
    logFile: join(options.directory, options.name, "daemon.log"),
  });
  for (let tries = 0; !existsSync(socket); tries++) {
    if (tries > 200)
      throw new Error(`the Nix daemon of ${options.name} did not start, see ${daemon.logFile}`);
    await sleep(50);
  }
  const remote = `unix://${socket}?root=${root}`;
  return { root, remote, env: { ...env, NIX_REMOTE: remote }, stop: () => daemon.stop() };
}

/** Instantiates an attribute set; attribute name to derivation path. */
export async function instantiate(store: DemoStore, expression: string): Promise<Map<string, string>> {
  const wrapped = `let set = ${expression}; in builtins.toJSON (builtins.mapAttrs (_: d: d.drvPath) set)`;
  const { stdout } = await run(
    "nix-instantiate",
    ["--eval", "--read-write-mode", "--strict", "--json", "--expr", wrapped],
    {
      env: store.env,
      maxBuffer: 1 << 24,
    },
  );
  const decoded: unknown = JSON.parse(JSON.parse(stdout) as string);
  return new Map(Object.entries(decoded as Record<string, string>));
}
