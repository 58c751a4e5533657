// The examples that need Nix: each runs as it stands, against stores of the test's own.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { shellDerivation, startNixStore, type TestNixStore } from "../support/nix.js";
import { copyTemplate } from "../support/postgres-template.js";
import { until } from "../support/until.js";

/** `npm run test:tarball` has them compiled as a user does. */
const programs =
  process.env.HYDRA_RUNNER_EXAMPLES ?? fileURLToPath(new URL("../../dist/examples/", import.meta.url));
let directory: string;
let nix: TestNixStore;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "farm-examples-"));
  nix = await startNixStore({ directory, name: "store" });
});

afterAll(async () => {
  await nix.close();
  await rm(directory, { recursive: true, force: true });
});

/** Examples keep the data of their runner below the temporary folder. */
const environment = (): NodeJS.ProcessEnv => ({ ...process.env, ...nix.env, TMPDIR: directory });

function start(name: string, ...args: string[]): ChildProcess {
  const stdio = ["ignore", "pipe", "inherit"] as const;
  return spawn(process.execPath, [join(programs, `${name}.js`), ...args], {
    stdio: [...stdio],
    env: environment(),
  });
}

async function run(name: string, ...args: string[]): Promise<string> {
  const program = join(programs, `${name}.js`);
  return (await promisify(execFile)(process.execPath, [program, ...args], { env: environment() })).stdout;
}

async function instantiate(name: string, script: string): Promise<string> {
  return (await nix.run("nix-instantiate", ["-E", shellDerivation(`${name}-${process.pid}`, script)])).trim();
}

test("own-farm builds, and shows what it saw in both servers", async () => {
  const drv = await instantiate("own-farm", "echo hello; echo out > $out");
  const output = await run("own-farm", drv);
  expect(output).toMatch(/^this-process joined$/m);
  expect(output).toMatch(/^log of [0-9a-z]{32}-own-farm-\d+\.drv on this-process: hello$/m);
  expect(output).toMatch(/^own-farm-\d+ succeeded at try 1$/m);
  expect(output).toMatch(/^result of build 1: 0$/m);
  expect(output).toMatch(/^Express: \[ 'this-process' \]$/m);
  expect(output).toMatch(/^Hono: 200$/m);
});

test("follow-queue shows progress until all builds have ended", async () => {
  const good = await instantiate("follow-good", "/bin/busybox sleep 1; echo out > $out");
  const bad = await instantiate("follow-bad", "exit 1");
  const output = await run("follow-queue", good, bad);
  expect(output).toMatch(/^\[----\] follow-good-\d+ on /m);
  expect(output).toMatch(/^\[##--\] follow-good-\d+ building$/m);
  expect(output).toMatch(/^\[####\] follow-good-\d+ succeeded$/m);
  expect(output).toMatch(/^\[####\] follow-bad-\d+ failed$/m);
  expect(output.match(/^build \d+ ended with status [01]$/gm)).toHaveLength(2);
});

test("steer-runner says why a step waits, and what an order met", async () => {
  const drv = await instantiate("steer", "echo out > $out");
  expect(await run("steer-runner", drv)).toMatch(
    /^without a machine: \w+\ndrained: \w+\nconflict .*\nstate: active and all is well\n$/,
  );
});

test("status-in-servers answers in Express and Hono", async () => {
  const output = await run("status-in-servers");
  expect(output).toMatch(/^Express: 200 \{[\s\S]*state: 'active'/m);
  expect(output).toMatch(/^Hono: 200 \{ machines: \{\}, machinesCount: 0 \}$/m);
});

test("webhook-sink delivers a result that was refused at first; builder joins it and prints the log", async () => {
  const bodies: string[] = [];
  let refusals = 2;
  const receiver = createServer((request, response) => {
    void text(request).then((body) => {
      bodies.push(body);
      response.statusCode = refusals-- > 0 ? 503 : 200;
      response.end();
    });
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  const drv = await instantiate("webhook", "echo from the build; echo out > $out");
  const data = await mkdtemp(join(directory, "hydra-"));
  await copyTemplate(data);
  const sink = start("webhook-sink", url, data, drv);
  let said = "";
  sink.stdout?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const address = await until("its address", () => /^running at (\S+)$/m.exec(said)?.[1]);
  const builder = start("builder", address);
  let built = "";
  builder.stdout?.on("data", (chunk: Buffer) => {
    built += chunk.toString();
  });
  try {
    await until("the delivery", () => bodies.length === 3);
    expect(new Set(bodies).size).toBe(1);
    expect(JSON.parse(bodies[2] ?? "")).toMatchObject({ type: "buildFinished", status: 0 });
    expect(built).toMatch(/^joined$/m);
    expect(built).toMatch(/^from the build$/m);
  } finally {
    for (const child of [builder, sink]) {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
    }
    receiver.closeAllConnections();
    receiver.close();
  }
  expect(await once(receiver, "close").catch(() => [])).toEqual([]);
});

test("upload-closure makes a cache that nix reads", async () => {
  const key = join(directory, "key");
  await nix.run("nix-store", ["--generate-binary-cache-key", "example-1", key, `${key}.pub`]);
  const drv = await instantiate("upload", "echo contents > $out");
  const path = (await nix.run("nix-store", ["--realise", drv])).trim();
  const cache = `file://${join(directory, "cache")}?compression=zstd&secret-key=${key}`;
  const base = path.slice("/nix/store/".length);
  expect(await run("upload-closure", path, cache)).toBe(`uploaded ${base}\n`);
  expect(await run("upload-closure", path, cache)).toBe(`present  ${base}\n`);
  const target = join(directory, "target");
  await nix.run("nix", [
    "--extra-experimental-features",
    "nix-command",
    "copy",
    "--from",
    `file://${join(directory, "cache")}`,
    "--to",
    target,
    "--option",
    "trusted-public-keys",
    (await readFile(`${key}.pub`, "utf8")).trim(),
    path,
  ]);
  expect(await readFile(join(target, path), "utf8")).toBe("contents\n");
});

test("replay-policy compares policies on a trace", async () => {
  const file = join(directory, "trace.json");
  const step = (drv: string, inputs: string[], durationMs: number) => ({
    drv,
    name: drv,
    system: "x86_64-linux",
    features: [],
    inputs,
    durationMs,
  });
  const trace = {
    formatVersion: 1,
    shares: {},
    machines: [{ hostname: "m", systems: ["x86_64-linux"], features: [], maxJobs: 1 }],
    steps: [step("lib", [], 5000), step("app", ["lib"], 3000), step("tool", [], 4000)],
    builds: [
      { id: 1, project: "p", jobset: "j", drv: "app", queuedMs: 0 },
      { id: 2, project: "p", jobset: "j", drv: "tool", queuedMs: 0 },
    ],
  };
  await writeFile(file, JSON.stringify(trace));
  const output = await run("replay-policy", file);
  expect(output).toMatch(/^as configured: 12 s$/m);
  expect(output).toMatch(/^twice the slots: 8 s$/m);
  expect(output).toMatch(/^ {2}p:j: half of 2 builds within \d+ s$/m);
});
