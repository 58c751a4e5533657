/**
 * The Nix modules, evaluated as a host would: options have the names of Hydra's own modules, and what they render starts
 * our programs. Runs with the stand-in for nixpkgs' lib, and with nixpkgs' own where `NIX_PATH` has it.
 */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadBuilderConfig, loadQueueRunnerConfig } from "../../lib/config/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "nix-modules-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function nix(args: readonly string[]): {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
} {
  const { status, stdout, stderr } = spawnSync("nix-instantiate", ["--eval", "--strict", "--json", ...args], {
    cwd: root,
    encoding: "utf8",
    // A store of its own: evaluating must not need a daemon.
    env: {
      ...process.env,
      NIX_REMOTE: "",
      NIX_STATE_DIR: join(folder, "state"),
      NIX_LOG_DIR: join(folder, "log"),
    },
  });
  return { status, stdout, stderr };
}

const libs = [
  { lib: "stand-in", expression: "import ./test/nix-modules/module-system.nix" },
  { lib: "nixpkgs", expression: "import <nixpkgs/lib>" },
].filter(({ expression }) => nix(["--expr", `(${expression}).mkIf true 1`]).status === 0);

type Module = "queue-runner" | "builder" | "darwin-builder";
type Service = Readonly<Record<string, unknown>>;
const serviceOf: Readonly<Record<Module, string>> = {
  "queue-runner": "hydra-queue-runner-dev",
  builder: "hydra-queue-builder-dev",
  "darwin-builder": "hydra-queue-builder-dev",
};

/** Options of Hydra's own modules (2026-08). */
const existing: Readonly<Record<Module, readonly string[]>> = {
  "queue-runner": [
    "enable",
    "package",
    "grpc.address",
    "grpc.port",
    "rest.address",
    "rest.port",
    "mtls.serverCertPath",
    "mtls.serverKeyPath",
    "mtls.clientCaCertPath",
    "minimumDiskFree",
    "awsCredentialsFile",
    "otel.enable",
    "otel.endpoint",
    "otel.protocol",
    "otel.headers",
    "otel.serviceName",
    "otel.extraEnv",
    ..."hydraDataDir dbUrl maxDbConnections machineSortFn machineFreeFn stepSortFn dispatchTriggerTimerInS queueTriggerTimerInS remoteStoreAddr useSubstitutes rootsDir maxRetries retryInterval retryBackoff maxUnsupportedTimeInS stopQueueRunAfterInS maxConcurrentDownloads concurrentUploadLimit tokenPaths enableFodChecker usePresignedUploads maxOutputSize maxSilentTime buildTimeout maxLogSize forcedSubstituters overflowStore.store overflowStore.jobsets"
      .split(" ")
      .map((key) => `settings.${key}`),
  ],
  builder: [
    "enable",
    "package",
    "queueRunnerAddr",
    "authorizationFile",
    "mtls.serverRootCaCertPath",
    "mtls.clientCertPath",
    "mtls.clientKeyPath",
    "mtls.domainName",
    ..."pingInterval speedFactor maxJobs buildCores buildDirAvailThreshold storeAvailThreshold load1Threshold cpuPsiThreshold memPsiThreshold ioPsiThreshold systems supportedFeatures mandatoryFeatures useSubstitutes"
      .split(" ")
      .map((key) => `settings.${key}`),
  ],
  "darwin-builder": ["logFile"],
};

interface Unit {
  readonly path: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly serviceConfig: Readonly<Record<string, unknown>> & {
    readonly ExecStart: string;
    readonly ReadWritePaths: readonly string[];
  };
}

describe.each(libs)("with the lib of $lib", ({ expression }) => {
  const evaluate = (module: Module, service: Service, attribute: string, extra: readonly string[] = []) =>
    nix([
      "test/nix-modules/evaluate.nix",
      ...["--arg", "lib", expression],
      ...["--arg", "module", `./nix/modules/${module}.nix`],
      ...["--argstr", "services", JSON.stringify({ [serviceOf[module]]: { enable: true, ...service } })],
      ...["-A", attribute],
      ...extra,
    ]);
  const value = (...args: Parameters<typeof evaluate>): unknown => {
    const { status, stdout, stderr } = evaluate(...args);
    expect(status, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const file = (module: Module, service: Service, name: string, extra: readonly string[] = []): string => {
    const text = String(value(module, service, `config.environment.etc."hydra/${name}.toml".text`, extra));
    const path = join(folder, `${name}.toml`);
    writeFileSync(path, text);
    return path;
  };
  const addressed = { queueRunnerAddr: "https://runner.example.org" };

  it.each(["queue-runner", "builder", "darwin-builder"] as const)(
    "%s has every option of Hydra's own module",
    (module) => {
      const all = value(module, addressed, "options") as Record<string, string[]>;
      const options = all[serviceOf[module]] ?? [];
      const wanted =
        module === "darwin-builder" ? [...existing.builder, ...existing[module]] : existing[module];
      expect(wanted.filter((name) => !options.includes(name))).toEqual([]);
    },
  );

  it("the runner's defaults are those of Hydra's own module, and the program accepts them", async () => {
    const path = file("queue-runner", {}, "queue-runner");
    const { config, warnings } = await loadQueueRunnerConfig({
      path,
      env: { LOGNAME: "hydra-queue-runner" },
    });
    const plain = await loadQueueRunnerConfig({
      path: join(folder, "absent.toml"),
      explicit: false,
      env: { LOGNAME: "hydra-queue-runner" },
    });
    expect(warnings).toEqual([]);
    expect(config).toEqual({
      ...plain.config,
      hydraDataDir: "/var/lib/hydra",
      machineSortFn: "SpeedFactorOnly",
    });
  });

  it("the builder's defaults are those of Hydra's own module, and the program accepts them", async () => {
    const path = file("builder", addressed, "builder", ["--arg", "cores", "6"]);
    const { config, warnings } = await loadBuilderConfig({ path });
    const plain = await loadBuilderConfig({ path: join(folder, "absent.toml"), explicit: false });
    expect(warnings).toEqual([]);
    expect(config).toEqual({ ...plain.config, useSubstitutes: true, buildCores: 6 });
  });

  it("every kind of setting arrives in the program as it was written", async () => {
    const token = join(folder, "token");
    writeFileSync(token, "secret\n");
    const settings = {
      dbUrl: 'postgres://hydra@db.example.org:5432/hydra?application_name=a"b\\c',
      remoteStoreAddr: ["s3://cache?region=eu-central-1&compression=zstd", "file:///var/cache"],
      retryBackoff: 1.5,
      maxOutputSize: 2 ** 40,
      queueTriggerTimerInS: -5,
      useSubstitutes: true,
      rootsDir: "/nix/var/nix/gcroots/hydra",
      tokenPaths: [token],
      stepSortFn: "WithCriticalPath",
      overflowStore: { store: "s3://overflow", jobsets: ["nixos:staging"] },
    };
    const path = file("queue-runner", { settings }, "queue-runner");
    const { config } = await loadQueueRunnerConfig({ path, env: { LOGNAME: "x" } });
    const { dbUrl, tokenPaths, ...shown } = settings;
    expect(config).toMatchObject(shown);
    expect(config.dbUrl.reveal()).toBe(dbUrl);
    expect(config.tokens).toHaveLength(tokenPaths.length);
  });

  it("wrong settings are errors of the evaluation", () => {
    const cases: readonly (readonly [Service, RegExp])[] = [
      [{ maxDbConections: 3 }, /maxDbConections.*does not exist/],
      [{ maxDbConnections: 0 }, /maxDbConnections.*is not of type/],
      [{ maxRetries: "5" }, /maxRetries.*is not of type/],
      [{ machineFreeFn: "Sometimes" }, /machineFreeFn.*is not of type/],
      [{ hydraDataDir: "a\nb" }, /hydraDataDir.*is not of type/],
    ];
    for (const [settings, message] of cases) {
      const { status, stderr } = evaluate("queue-runner", { settings }, "config.environment.etc");
      expect(status).not.toBe(0);
      expect(stderr).toMatch(message);
    }
  });

  const unit = (module: Module, service: Service): Unit =>
    value(module, service, `config.systemd.services.${serviceOf[module]}`) as Unit;
  const programs = {
    "hydra-queue-runner": "dist/bin/queue-runner.js",
    "hydra-builder": "dist/bin/hydra-builder.js",
  } as const;
  // As systemd would pass on the sockets of the socket units.
  const sockets = [createServer(), createServer()];
  beforeAll(async () => {
    for (const socket of sockets) await once(socket.listen(0, "127.0.0.1"), "listening");
  });
  afterAll(() => {
    for (const socket of sockets) socket.close();
  });
  const descriptor = (socket: Server): number => {
    const handle: unknown = Reflect.get(socket, "_handle");
    const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined;
    if (typeof fd !== "number") throw new Error("the socket has no descriptor");
    return fd;
  };
  /** Runs the unit's command with `--check-config`, the file in /etc replaced by ours. */
  const checkConfig = (command: string, path: string): { status: number | null; output: string } => {
    const [program = "", ...words] = command.split(" ");
    const args = words.map((word) => (word.startsWith("/etc/hydra/") ? path : word));
    const script = programs[program.replace("/package/hydra-runner/bin/", "") as keyof typeof programs];
    const { status, stdout, stderr } = spawnSync("node", [script, ...args, "--check-config"], {
      cwd: root,
      encoding: "utf8",
      env: {
        ...process.env,
        NIX_REMOTE: "daemon",
        LOGNAME: "x",
        LISTEN_FDS: "2",
        LISTEN_FDNAMES: "rest:grpc",
      },
      stdio: ["ignore", "pipe", "pipe", ...sockets.map(descriptor)],
    });
    return { status, output: stdout + stderr };
  };

  it("the runner's command is accepted with --check-config", () => {
    const service = { settings: { remoteStoreAddr: [`file://${folder}/cache`], hydraDataDir: folder } };
    const path = file("queue-runner", service, "queue-runner");
    const { status, output } = checkConfig(unit("queue-runner", service).serviceConfig.ExecStart, path);
    expect(output).toContain("configuration is valid");
    expect(status).toBe(0);
  });

  it("the builder's command is accepted with --check-config", () => {
    const token = join(folder, "builder-token");
    writeFileSync(token, "secret\n");
    const service = { ...addressed, authorizationFile: token, fallbackQueueRunnerAddrs: ["http://b:50051"] };
    const path = file("builder", service, "builder");
    const { status, output } = checkConfig(unit("builder", service).serviceConfig.ExecStart, path);
    expect(output).toContain("configuration is valid");
    expect(status).toBe(0);
  });

  it("the units have what the programs call, and nothing that the JavaScript engine does not bear", () => {
    const runner = unit("queue-runner", {});
    const builder = unit("builder", addressed);
    for (const { path, serviceConfig } of [runner, builder]) {
      for (const tool of ["nix", "xz", "bzip2", "zstd", "systemd"])
        expect(path).toContain(`/package/${tool}`);
      expect(serviceConfig).not.toHaveProperty("MemoryDenyWriteExecute");
      expect(serviceConfig).toMatchObject({
        Type: "notify",
        NotifyAccess: "all",
        SystemCallErrorNumber: "EPERM",
        ProtectSystem: "strict",
        NoNewPrivileges: true,
      });
    }
    expect(runner.path).toContain("/package/util-linux");
    expect(runner.serviceConfig.ReadWritePaths).toContain("/run/postgresql/.s.PGSQL.5432");
  });

  it("folders and sandbox follow hydraDataDir and dbUrl", () => {
    const settings = { hydraDataDir: "/srv/hydra", dbUrl: "postgres://hydra@db:5432/hydra" };
    const { serviceConfig } = unit("queue-runner", { settings });
    expect(serviceConfig.ReadWritePaths).toEqual([
      "/nix/var/nix/gcroots/",
      "/nix/var/nix/daemon-socket/socket",
      "/srv/hydra/build-logs/",
      "/srv/hydra/queue-runner/",
    ]);
    expect(serviceConfig).not.toHaveProperty("StateDirectory");
  });

  it("TLS, traces and credentials become flags and variables", () => {
    const { environment, serviceConfig } = unit("queue-runner", {
      mtls: { serverCertPath: "/a.pem", serverKeyPath: "/b.pem", clientCaCertPath: "/c.pem" },
      awsCredentialsFile: "/run/secrets/aws",
      environmentFile: "/run/secrets/runner",
      otel: { enable: true, headers: "a=b", extraEnv: { OTEL_TRACES_SAMPLER: "always_on" } },
    });
    expect(serviceConfig.ExecStart).toContain(
      "--server-cert-path /a.pem --server-key-path /b.pem --client-ca-cert-path /c.pem",
    );
    expect(serviceConfig).toMatchObject({ EnvironmentFile: "/run/secrets/runner" });
    expect(environment).toMatchObject({
      AWS_SHARED_CREDENTIALS_FILE: "/run/secrets/aws",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318",
      OTEL_EXPORTER_OTLP_HEADERS: "a=b",
      OTEL_TRACES_SAMPLER: "always_on",
    });
    expect(environment).not.toHaveProperty("OTEL_SERVICE_NAME");
  });

  it("a password in dbUrl is a warning", () => {
    const warningsOf = (dbUrl: string): string[] =>
      value("queue-runner", { settings: { dbUrl } }, "config.warnings") as string[];
    expect(warningsOf("postgres://hydra@db:5432/hydra")).toEqual([]);
    expect(warningsOf("postgres://hydra:secret@db:5432/hydra")).toEqual([
      expect.stringContaining("environmentFile"),
    ]);
  });

  it("the disk guard stops the sockets before the service, and exists only when it is wanted", () => {
    const timers = (minimumDiskFree: number): Record<string, unknown> =>
      value("queue-runner", { minimumDiskFree }, "config.systemd.timers") as Record<string, unknown>;
    expect(timers(0)).toEqual({});
    expect(Object.keys(timers(20))).toEqual(["hydra-queue-runner-check-space"]);
    const guard = value(
      "queue-runner",
      { minimumDiskFree: 20 },
      "config.systemd.services.hydra-queue-runner-check-space",
    ) as Unit;
    expect(guard.environment).toMatchObject({
      MINIMUM_FREE_GIB: "20",
      UNITS:
        "hydra-queue-runner-dev-rest.socket hydra-queue-runner-dev-grpc.socket hydra-queue-runner-dev.service",
    });
  });

  it("nothing is set while the service is off", () => {
    const off = { enable: false };
    expect(value("queue-runner", off, "config.systemd.services")).toEqual({});
    expect(value("queue-runner", off, "config.environment.etc")).toEqual({});
    expect(value("builder", { ...off, ...addressed }, "config.users.users")).toEqual({});
  });

  it("launchd starts the builder with the same command", () => {
    const daemons = value(
      "darwin-builder",
      { ...addressed, settings: { drainTimeoutInS: 600 } },
      "config.launchd.daemons",
    ) as Record<string, { script: string; serviceConfig: Record<string, unknown> }>;
    const daemon = daemons["hydra-queue-builder-dev"];
    expect(daemon?.script).toBe(
      "exec /package/hydra-runner/bin/hydra-builder --gateway-endpoint https://runner.example.org --config-path /etc/hydra/builder.toml",
    );
    expect(daemon?.serviceConfig).toMatchObject({ KeepAlive: true, ExitTimeOut: 660 });
  });
});
