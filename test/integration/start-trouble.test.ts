// What keeps a program from starting is one line and exit code 2.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChild } from "../support/child.js";
import { startNixStore, type TestNixStore } from "../support/nix.js";
import { builderProgram, queueRunnerProgram } from "../support/pair.js";

let folder = "";
let store: TestNixStore | undefined;
const holder = createServer();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-start-"));
  store = await startNixStore({ directory: folder, name: "store", daemon: false });
  await new Promise<void>((done) => holder.listen(0, "127.0.0.1", done));
});
afterAll(async () => {
  await new Promise((done) => holder.close(done));
  await store?.close();
  await rm(folder, { recursive: true, force: true });
});

/** What a program says that is no line of its log, and how it ends. */
async function start(limit: number | undefined, program: string, flags: readonly string[]) {
  const config = join(folder, "queue-runner.toml");
  await writeFile(
    config,
    `dbUrl = "postgres://x@127.0.0.1:1/x"\nhydraDataDir = "${folder}/data"\nrootsDir = "${folder}/roots"\nmaxDbConnections = 4\n`,
  );
  const own = program === queueRunnerProgram ? ["--config-path", config] : [];
  const child = startChild({
    name: "program",
    command: "sh",
    args: [
      ...["-c", `${limit === undefined ? "" : `ulimit -n ${limit};`} exec "$@"`, "sh"],
      ...[process.execPath, program, ...own, ...flags],
    ],
    env: { ...store?.env, LOGNAME: "tester" },
  });
  const { code } = await child.ended;
  const said = child
    .output()
    .split("\n")
    .filter((line) => line !== "" && !/^\d{4}-\d\d-\d\dT/.test(line));
  return { code, said };
}

test.each([
  ["queue-runner", queueRunnerProgram],
  ["hydra-builder", builderProgram],
] as const)("%s with 64 or 48 files", async (name, program) => {
  for (const limit of [64, 48]) {
    const { code, said } = await start(limit, program, []);
    expect(said).toEqual([expect.stringMatching(`^${name}: at most ${limit} files can be open, but`)]);
    expect(code).toBe(2);
  }
});

test.each([
  ["queue-runner", queueRunnerProgram],
  ["hydra-builder", builderProgram],
] as const)("%s with fewer files than it is loaded from", async (name, program) => {
  const empty = join(folder, "empty.mjs");
  await writeFile(empty, "");
  let tried = 0;
  for (const limit of [19, 20, 22, 25, 28, 32]) {
    // Where Node cannot open a single file, no line of ours can be had.
    const alone = startChild({
      name: "empty",
      command: "sh",
      args: ["-c", `ulimit -n ${limit}; exec "$@"`, "sh", process.execPath, empty],
      env: {},
    });
    if ((await alone.ended).code !== 0) continue;
    tried++;
    const { code, said } = await start(limit, program, []);
    expect(said).toEqual([
      expect.stringMatching(
        new RegExp(`^${name}: (?:too few files can be open|at most ${limit} files can be open, but)`),
      ),
    ]);
    expect(code).toBe(2);
  }
  expect(tried).toBeGreaterThan(1);
});

test.each(["rest", "grpc"])("a port of --%s-bind that is in use", async (which) => {
  const address = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
  const other = which === "rest" ? "grpc" : "rest";
  const flags = [`--${which}-bind`, address, `--${other}-bind`, "127.0.0.1:0"];
  const { code, said } = await start(undefined, queueRunnerProgram, flags);
  expect(said).toEqual([
    `queue-runner: --${which}-bind ${address}: the address is already in use by another program`,
  ]);
  expect(code).toBe(2);
});

test.each(["rest", "grpc"])("an address of --%s-bind that this machine does not have", async (which) => {
  const other = which === "rest" ? "grpc" : "rest";
  const flags = [`--${which}-bind`, "192.0.2.1:80", `--${other}-bind`, "127.0.0.1:0"];
  const { code, said } = await start(undefined, queueRunnerProgram, flags);
  expect(said).toEqual([
    `queue-runner: --${which}-bind 192.0.2.1:80: this machine does not have the address`,
  ]);
  expect(code).toBe(2);
});
