// The status API inside of servers of other makers.
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { json, text } from "node:stream/consumers";
import express from "express";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { HostNames, statusFetch, statusHandler } from "../../../lib/status/index.js";
import { recordedSource, runningRecording } from "../recorded-source.js";

const { source } = recordedSource(runningRecording);
const hosts = new HostNames({ names: ["farm.example"] });

async function listening(listener: RequestListener): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

describe.each(["/hydra/runner", "/hydra/runner/", "hydra/runner"])("below %s", (basePath) => {
  it("answers in node:http", async () => {
    await using server = await listening(statusHandler(source, { basePath }));
    const health = await fetch(`${server.url}/hydra/runner/health`);
    expect(await health.json()).toMatchObject({ state: "active" });
    const page = await fetch(`${server.url}/hydra/runner?x=1`);
    expect(page.url).toBe(`${server.url}/hydra/runner/?x=1`);
    expect(await page.text()).toContain("<!doctype html>");
    for (const path of ["/health", "/hydra/runnerhealth", "/hydra/", "/hydra/runner/hydra/runner/health"])
      expect((await fetch(server.url + path)).status).toBe(404);
  });

  it("answers in Express, which keeps what is not below it", async () => {
    const app = express();
    app.use(statusHandler(source, { basePath }));
    app.get("/own", (_request, response) => void response.send("own"));
    await using server = await listening(app);
    expect(await (await fetch(`${server.url}/own`)).text()).toBe("own");
    expect(await (await fetch(`${server.url}/hydra/runner/status/machines`)).json()).toHaveProperty(
      "machines",
    );
  });

  it("answers in Express when it is mounted at the same path", async () => {
    const app = express();
    app.use("/hydra/runner", statusHandler(source, { basePath }));
    await using server = await listening(app);
    expect(await (await fetch(`${server.url}/hydra/runner/health`)).json()).toMatchObject({
      state: "active",
    });
  });

  it("answers in Hono", async () => {
    const status = statusFetch(source, { basePath, hosts });
    const app = new Hono();
    app.all("/hydra/runner/*", (context) => status(context.req.raw));
    const health = await app.request("http://farm.example/hydra/runner/health");
    expect(await health.json()).toMatchObject({ state: "active" });
    expect((await app.request("http://farm.example/hydra/runner/nothing")).status).toBe(404);
    const first = await app.request("http://farm.example/hydra/runner/status");
    const etag = first.headers.get("etag") ?? "";
    const again = await app.request("http://farm.example/hydra/runner/status", {
      headers: { "if-none-match": etag },
    });
    expect([first.status, etag.length > 10]).toEqual([200, true]);
    expect([200, 304]).toContain(again.status);
    expect((await app.request("http://evil.example/hydra/runner/status")).status).toBe(421);
  });
});

describe("requests that change something", () => {
  const writing = { writeToken: "secret", basePath: "/r", hosts };
  const body = JSON.stringify({ buildId: "x" });

  it("are read and refused alike by both interfaces", async () => {
    await using server = await listening(statusHandler(source, writing));
    const byFetch = statusFetch(source, writing);
    const answers = async (headers: Record<string, string>) => {
      const there = await fetch(`${server.url}/r/build_one`, { method: "POST", body, headers });
      const here = await byFetch(
        new Request("http://farm.example/r/build_one", { method: "POST", body, headers }),
      );
      expect(here.status).toBe(there.status);
      const said = await here.json();
      expect(said).toEqual(await there.json());
      return [here.status, said];
    };
    expect(await answers({})).toEqual([401, { error: "No valid auth token" }]);
    expect(await answers({ authorization: "Bearer secret" })).toEqual([
      400,
      { error: "field 'buildId' must be a 32-bit integer" },
    ]);
  });

  it("stop reading a body that is too long", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent++;
        controller.enqueue(new Uint8Array(65536));
      },
    });
    const request = new Request("http://farm.example/r/build_one", {
      method: "POST",
      headers: { authorization: "Bearer secret" },
      body: endless,
      duplex: "half",
    });
    expect((await statusFetch(source, writing)(request)).status).toBe(413);
    expect(sent).toBeLessThan(40);
  });
});

it("a client that leaves during a long list costs nothing", async () => {
  const [step] = source.steps();
  if (step === undefined) throw new Error("the recording has steps");
  const many = recordedSource(runningRecording, { steps: () => Array.from({ length: 50_000 }, () => step) });
  await using server = await listening(statusHandler(many.source));
  const asked = httpRequest(`${server.url}/status/steps`, { agent: false });
  asked.end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.destroy();
  expect(await json((await once(httpRequest(`${server.url}/health`).end(), "response"))[0])).toBeDefined();
  expect(await text((await once(httpRequest(`${server.url}/ready`).end(), "response"))[0])).toContain(
    "ready",
  );
});
