// Mistakes of operators: one line that names file and key, exit code 2; and a database that comes up late.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Child, startChild } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { startNixStore, type TestNixStore } from "../support/nix.js";
import { builderProgram, queueRunnerProgram } from "../support/pair.js";
import { testPostgres } from "../support/test-database.js";
import { until } from "../support/until.js";

let folder = "";
let store: TestNixStore | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-config-"));
  store = await startNixStore({ directory: folder, name: "store" });
});

afterAll(async () => {
  await store?.close();
  await rm(folder, { recursive: true, force: true });
});

async function start(
  program: string,
  config: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Child> {
  const file = join(folder, "some.toml");
  await writeFile(file, config);
  return startChild({
    name: "program",
    command: process.execPath,
    args: [program, "--config-path", file, ...flags],
    env: { ...store?.env, LOGNAME: "tester", ...env },
  });
}

const programs = [
  ["queue-runner", queueRunnerProgram],
  ["hydra-builder", builderProgram],
] as const;

const mistakes: readonly (readonly [string, string, string, RegExp])[] = [
  [
    "an unknown key",
    "queue-runner",
    "maxDbConections = 3\n",
    /some\.toml: .*maxDbConections.*maxDbConnections/,
  ],
  ["a wrong type", "queue-runner", 'maxRetries = "5"\n', /some\.toml: .*maxRetries.*integer/],
  ["a value out of range", "queue-runner", "maxDbConnections = 0\n", /some\.toml: .*maxDbConnections/],
  [
    "a missing key file",
    "queue-runner",
    'remoteStoreAddr = ["file:///tmp/cache?secret-key=/nowhere/key"]\n',
    /some\.toml: .*remoteStoreAddr.*\/nowhere\/key/,
  ],
  [
    "a missing token file",
    "queue-runner",
    'tokenPaths = ["/nowhere/token"]\n',
    /some\.toml: .*tokenPaths.*\/nowhere\/token/,
  ],
  ["no TOML", "queue-runner", "maxRetries: 5\n", /some\.toml: .*line 1/],
  ["an unknown key", "hydra-builder", "maxJob = 3\n", /some\.toml: .*maxJob.*maxJobs/],
  ["a wrong type", "hydra-builder", "maxJobs = 1.5\n", /some\.toml: .*maxJobs.*integer/],
];

describe("a mistake in the configuration is one line and exit code 2", () => {
  for (const [what, name, config, message] of mistakes) {
    test(`${name}: ${what}`, async () => {
      const program = programs.find(([one]) => one === name)?.[1] ?? "";
      const child = await start(program, config);
      expect(await child.ended).toEqual({ code: 2, signal: null });
      const lines = child.output().trimEnd().split("\n");
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(message);
    });
  }

  for (const [name, program] of programs) {
    test(`${name}: a file that does not exist`, async () => {
      const child = startChild({
        name,
        command: process.execPath,
        args: [program, "--config-path", join(folder, "missing.toml")],
        env: { ...store?.env, LOGNAME: "tester" },
      });
      expect(await child.ended).toEqual({ code: 2, signal: null });
      expect(child.output().trimEnd().split("\n")).toHaveLength(1);
      expect(child.output()).toContain("missing.toml");
    });

    test(`${name}: an unknown flag`, async () => {
      const child = await start(program, "", ["--no-such-flag"]);
      expect((await child.ended).code).toBe(2);
      expect(child.output()).toContain("--no-such-flag");
    });
  }
});

describe("--check-config", () => {
  const check = async (program: string, config: string, flags: readonly string[] = [], env = {}) => {
    const child = await start(program, config, ["--check-config", ...flags], env);
    const { code } = await child.ended;
    return { code, said: child.output().trimEnd() };
  };
  // Nobody listens there, and nobody has to.
  const away = 'dbUrl = "postgres://hydra@127.0.0.1:1/hydra"\n';

  test("says that the configuration is valid, and contacts nobody", async () => {
    expect(await check(queueRunnerProgram, away)).toEqual({
      code: 0,
      said: expect.stringMatching(/some\.toml: configuration is valid$/),
    });
    expect(await check(builderProgram, "maxJobs = 3\n", [], { NIX_REMOTE: "unix:///nowhere" })).toEqual({
      code: 0,
      said: expect.stringMatching(/some\.toml: configuration is valid$/),
    });
  });

  test.each([
    ["a key", queueRunnerProgram, "maxRetries = true\n", [], /maxRetries/],
    ["an address", queueRunnerProgram, away, ["--grpc-bind", "nonsense"], /--grpc-bind: .*nonsense/],
    ["a port of an address", queueRunnerProgram, away, ["--rest-bind", "::1:80000"], /--rest-bind: .*80000/],
    [
      "the path of a socket",
      queueRunnerProgram,
      away,
      ["--grpc-bind", `/run/${"s".repeat(103)}`],
      /--grpc-bind: .*107 bytes, not 108/,
    ],
    [
      "a file",
      queueRunnerProgram,
      away,
      ["--server-cert-path", "/nowhere", "--server-key-path", "/x"],
      /nowhere/,
    ],
    ["a port", queueRunnerProgram, 'dbUrl = "postgres://h:99999/d"\n', [], /some\.toml: key 'dbUrl'.*99999/],
    [
      "a key file",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["s3://b?secret-key=/etc/hostname"]\n`,
      [],
      /remoteStoreAddr.*\/etc\/hostname/,
    ],
    ["a store", queueRunnerProgram, `${away}remoteStoreAddr = ["file:///a%zz"]\n`, [], /remoteStoreAddr.*%/],
    [
      "a method",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["s3://b?compression=lz4"]\n`,
      [],
      /remoteStoreAddr.*'compression'.*lz4/,
    ],
    [
      "a parameter",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["s3://b?compresion=zstd"]\n`,
      [],
      /remoteStoreAddr.*'compresion'.*did you mean 'compression'/,
    ],
    [
      "a folder",
      queueRunnerProgram,
      `${away}hydraDataDir = "/etc/hostname/data"\n`,
      [],
      /hydraDataDir.*'\/etc\/hostname' is not a folder/,
    ],
    [
      "the folder of roots",
      queueRunnerProgram,
      `${away}rootsDir = "/etc/passwd"\n`,
      [],
      /rootsDir.*'\/etc\/passwd' is not a folder/,
    ],
    [
      "a host name",
      queueRunnerProgram,
      `${away}statusHosts = ["hydra.example.org", "a b"]\n`,
      [],
      /statusHosts.*'a b' is not a host name/,
    ],
    [
      "the folder of a cache",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["file:///etc/hostname/cache"]\n`,
      [],
      /remoteStoreAddr.*'\/etc\/hostname' is not a folder/,
    ],
    [
      "an SSH store",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["ssh://user@?compress=true"]\n`,
      [],
      /remoteStoreAddr.*the host is missing: write ssh:\/\/<host>/,
    ],
    [
      "the folder of a store",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["/etc/hostname?root=x"]\n`,
      [],
      /remoteStoreAddr.*'\/etc\/hostname' is not a folder/,
    ],
    [
      "a bucket",
      queueRunnerProgram,
      `${away}remoteStoreAddr = ["s3://user:secret@bucket"]\n`,
      [],
      /remoteStoreAddr.*'…@bucket' is not the name of a bucket/,
    ],
    [
      "an address of numbers",
      queueRunnerProgram,
      away,
      ["--rest-bind", "256.1.1.1:80"],
      /--rest-bind: "256\.1\.1\.1:80" has no valid address/,
    ],
    ["a name", builderProgram, 'hostname = "a b"\n', [], /key 'hostname' is "a b"; it must be one word/],
    ["an argument", builderProgram, "", ["--domain-name", "a", "b"], /too many arguments/],
    ["a key", builderProgram, "maxJobs = -1\n", [], /maxJobs/],
    ["an address", builderProgram, "", ["--gateway-endpoint", "ftp://x"], /ftp/],
    ["a file", builderProgram, "", ["--authorization-file", "/nowhere/token"], /nowhere/],
  ] as const)("names a mistake in %s (%s)", async (_, program, config, flags, message) => {
    const { code, said } = await check(program, config, flags);
    expect(code).toBe(2);
    expect(said).toMatch(message);
    expect(said.split("\n")).toHaveLength(1);
  });
});

describe("the surroundings", () => {
  const unused = `dbUrl = "postgres://hydra@127.0.0.1:1/hydra"\n`;
  const oneLine = async (program: string, config: string, env: Readonly<Record<string, string>>) => {
    const child = await start(program, config, ["--check-config"], env);
    expect(await child.ended).toEqual({ code: 2, signal: null });
    const lines = child.output().trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    return lines[0];
  };

  test("without the program of a compression method are refused", async () => {
    const PATH = join(folder, "no-programs");
    const store = `${unused}remoteStoreAddr = ["file:///cache"]\n`;
    expect(await oneLine(queueRunnerProgram, store, { PATH })).toMatch(/'compression'.*'xz' is not on PATH/);
    const nix = `${unused}remoteStoreAddr = ["ssh://host"]\n`;
    expect(await oneLine(queueRunnerProgram, nix, { PATH })).toMatch(/remoteStoreAddr.*'nix' on PATH/);
  });

  test.each(programs)("of %s with a nonsensical store or log level are refused", async (_name, program) => {
    expect(await oneLine(program, "", { NIX_REMOTE: "ssh-ng://x" })).toMatch(/NIX_REMOTE: .*ssh-ng/);
    expect(await oneLine(program, "", { LOG_LEVEL: "nonsense" })).toMatch(/LOG_LEVEL: "nonsense"/);
  });

  test("without a nix-daemon end the start of the runner in one line", async () => {
    const child = await start(queueRunnerProgram, unused, ["--rest-bind", "127.0.0.1:0"], {
      NIX_REMOTE: "unix:///nowhere",
    });
    expect(await child.ended).toEqual({ code: 2, signal: null });
    const lines = child.output().trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^queue-runner: .*\/nowhere/);
  });
});

describe("a start that cannot work", () => {
  const endOf = async (child: Child) => {
    const { code } = await child.ended;
    return { code, lines: child.output().trimEnd().split("\n") };
  };

  test("the builder without a nix-daemon: one line", async () => {
    const { code, lines } = await endOf(
      await start(builderProgram, "", [], { NIX_REMOTE: "unix:///nowhere" }),
    );
    expect(code).toBe(2);
    expect(lines).toEqual([expect.stringMatching(/\/nowhere/)]);
  });

  test("a database of its own that cannot have a folder: one line", async () => {
    const { code, lines } = await endOf(
      await start(queueRunnerProgram, 'dbUrl = "embedded:"\nhydraDataDir = "/dev/null/data"\n', [
        "--rest-bind",
        "127.0.0.1:0",
      ]),
    );
    expect(code).toBe(2);
    expect(lines).toEqual([expect.stringMatching(/^queue-runner: .*\/dev\/null/)]);
  });
});

describe("LOG_FORMAT", () => {
  test("json: every line is an object", async () => {
    const child = await start(builderProgram, "", [], { LOG_FORMAT: "json", NIX_REMOTE: "unix:///nowhere" });
    expect((await child.ended).code).toBe(2);
    const lines = child.output().trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ target: "hydra_builder" });
    expect(lines.join()).toContain("/nowhere");
  });

  test("anything else is a mistake", async () => {
    const child = await start(builderProgram, "", [], { LOG_FORMAT: "yaml" });
    expect((await child.ended).code).toBe(2);
    expect(child.output()).toMatch(/LOG_FORMAT.*yaml/);
  });
});

test("a database that is down is waited for, and that is said once", async () => {
  const postgres = await testPostgres();
  const url = await postgres.createDatabase();
  await postgres.stop();
  const rest = await freePort();
  const child = await start(
    queueRunnerProgram,
    `hydraDataDir = "${folder}/data"\nrootsDir = "${folder}/roots"\ndbUrl = "${url}"\n`,
    ["--rest-bind", `127.0.0.1:${rest}`, "--grpc-bind", "127.0.0.1:0"],
  );
  try {
    await child.waitForOutput(/waiting for it/);
    await child.waitForOutput(/code=database-silent/);
    // Several tries later they are still the same lines.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(child.running).toBe(true);
    const said = child
      .output()
      .split("\n")
      .filter((line) => /database/.test(line));
    // What is waited for, and the problem with its cause and advice: each once.
    expect(said.filter((line) => line.includes("waiting for it"))).toHaveLength(1);
    expect(said.filter((line) => line.includes("code=database-silent"))).toHaveLength(1);
    expect(said).toHaveLength(2);

    await postgres.start();
    await until("the runner to answer", () =>
      fetch(`http://127.0.0.1:${rest}/status`).then(
        (response) => response.ok,
        () => false,
      ),
    );
  } finally {
    expect((await child.stop()).code).toBe(0);
  }
});
