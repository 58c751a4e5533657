// The status API and the live page of a runner inside of an Express server and of a Hono application.
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import express from "express";
import { Hono } from "hono";
import { defineQueueRunnerConfig, openStore, QueueRunner } from "hydra-runner";
import { HostNames, statusFetch, statusHandler } from "hydra-runner/status";

const hydraDataDir = await mkdtemp(join(tmpdir(), "hydra-"));
await using store = await openStore(process.env.NIX_REMOTE);
await using runner = await QueueRunner.open({
  config: defineQueueRunnerConfig({
    dbUrl: "embedded:",
    hydraDataDir,
    rootsDir: join(hydraDataDir, "roots"),
  }),
  store,
  grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
});

const app = express();
app.get("/", (_request, response) => response.redirect("/runner/"));
app.use(statusHandler(runner.status, { basePath: "/runner" }));
await using server = createServer(app).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const { port } = server.address() as { readonly port: number };
const health = await fetch(`http://127.0.0.1:${port}/runner/health`);
console.log("Express:", health.status, await health.json());

const hosts = new HostNames({ names: ["farm.example"] });
const status = statusFetch(runner.status, { basePath: "/runner", hosts });
const hono = new Hono().all("/runner/*", (context) => status(context.req.raw));
const machines = await hono.request("http://farm.example/runner/status/machines");
console.log("Hono:", machines.status, await machines.json());
