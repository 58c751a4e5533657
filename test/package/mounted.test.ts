/** The status API mounted in Fastify and Koa as docs/library.md says. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { statusHandler } from "../../lib/status/index.js";
import { recordedSource, runningRecording } from "../status/recorded-source.js";
import { mounted } from "./mounted.mjs";

let servers: Awaited<ReturnType<typeof mounted>>;
beforeAll(async () => {
  servers = await mounted(statusHandler, { status: recordedSource(runningRecording).source });
});
afterAll(() => servers.close());

it.each(["fastify", "koa"] as const)("%s answers with the status, and keeps its own routes", async (kind) => {
  const url = servers[kind];
  expect(await (await fetch(`${url}/runner/health`)).json()).toMatchObject({ state: "active" });
  expect(await (await fetch(`${url}/runner/status/machines`)).json()).toHaveProperty("machines");
  expect((await fetch(`${url}/runner/nothing`)).status).toBe(404);
  expect(await (await fetch(`${url}/own`)).text()).toBe("own");
});

it.each(["fastify", "koa"] as const)("%s leaves the body of a request to the status API", async (kind) => {
  const answer = await fetch(`${servers[kind]}/runner/build_one`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ buildId: "none" }),
    signal: AbortSignal.timeout(20_000),
  });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toHaveProperty("error");
});
