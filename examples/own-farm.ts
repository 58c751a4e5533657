/**
 * Your own farm in one process: machine and step order, events, a log hook, a sink of results, the status API in
 * Express and Hono, a builder, and an embedded PostgreSQL. Builds the given derivations and prints what it saw.
 */
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import express from "express";
import { Hono } from "hono";
import {
  BuilderClient,
  defineBuilderConfig,
  defineQueueRunnerConfig,
  openStore,
  QueueRunner,
} from "hydra-runner";
import { HostNames, statusFetch, statusHandler } from "hydra-runner/status";

const drvs = process.argv.slice(2);
const hydraDataDir = await mkdtemp(join(tmpdir(), "hydra-"));
await using store = await openStore(process.env.NIX_REMOTE);

// Results are waited for in the end.
let left = drvs.length;
let done = (): void => {};
const allDone = new Promise<void>((resolve) => {
  done = resolve;
});

await using runner = await QueueRunner.open({
  config: defineQueueRunnerConfig({
    dbUrl: "embedded:",
    hydraDataDir,
    rootsDir: join(hydraDataDir, "roots"),
  }),
  store,
  grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
  machineOrder: ({ info, jobs }) => info.speedFactor / (1 + jobs),
  stepOrder: (a, b) => b.criticalPathMs - a.criticalPathMs || a.sequence - b.sequence,
  onLog: ({ drv, machine, bytes }) =>
    console.log(`log of ${drv} on ${machine}: ${Buffer.from(bytes).toString()}`.trimEnd()),
  onResult: ({ build, status }) => {
    console.log(`result of build ${build}: ${status}`);
    if (--left === 0) done();
  },
});
runner.on("machineJoined", ({ machine }) => console.log(`${machine.hostname} joined`));
runner.on("stepFinished", ({ name, outcome, tries }) =>
  console.log(`${name} ${outcome.kind} at try ${tries}`),
);

await using _builder = await BuilderClient.open({
  runners: [runner.builderAddress],
  store,
  hostname: "this-process",
  settings: defineBuilderConfig({ storeAvailThreshold: 1, buildDirAvailThreshold: 1 }),
});
for (const drv of drvs) await runner.enqueue({ drv, jobset: "default:default" });
await allDone;

const app = express();
app.use(statusHandler(runner.status, { basePath: "/farm" }));
await using server = createServer(app).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const address = server.address() as { readonly port: number };
const answer = await fetch(`http://127.0.0.1:${address.port}/farm/status/machines`);
console.log("Express:", Object.keys(((await answer.json()) as { machines: object }).machines));

const status = statusFetch(runner.status, {
  basePath: "/farm",
  hosts: new HostNames({ names: ["farm.example"] }),
});
const hono = new Hono().all("/farm/*", (context) => status(context.req.raw));
console.log("Hono:", (await hono.request("http://farm.example/farm/health")).status);
