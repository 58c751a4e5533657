/** Requests that are sent without waiting for answers, as HTTP/1.1 allows. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { longestTurn } from "../../support/longest-turn.js";
import { until } from "../../support/until.js";
import { serve, type TestApi } from "../http-client.js";
import { recordedSource, runningRecording } from "../recorded-source.js";

let api: TestApi;
beforeEach(async () => {
  const { source, metrics, now } = recordedSource(runningRecording);
  api = await serve({ source, metrics, clock: () => now });
});
afterEach(() => api[Symbol.asyncDispose]());

async function open(): Promise<Socket> {
  const socket = connect(api.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

it("are answered in order, a dozen of them", async () => {
  const socket = await open();
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.write(
    Array.from({ length: 12 }, (_, index) => request(`/missing-${index}`)).join("") +
      request("/status/machines"),
  );
  const text = (): string => Buffer.concat(chunks).toString();
  await until("the last answer", () => text().includes('"machinesCount"') || undefined);
  expect(text().match(/HTTP\/1\.1 \d+/g)).toEqual([
    ...Array<string>(12).fill("HTTP/1.1 404"),
    "HTTP/1.1 200",
  ]);
  socket.write(request("/status/machines"));
  await until(
    "an answer on the same connection",
    () => text().match(/"machinesCount"/g)?.length === 2 || undefined,
  );
  socket.destroy();
});

it.each(["/openapi.json", "/metrics"])("neither hold others up nor pile up: 1,400 for %s", async (path) => {
  await api.ask("GET", path);
  const turn = await longestTurn(async () => {
    const sockets = await Promise.all(Array.from({ length: 5 }, open));
    // It may be reset.
    const closed = sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of sockets) socket.pause().write(request(path).repeat(1_400));
    expect((await api.ask("GET", "/health")).status).toBe(200);
    for (const socket of sockets) socket.resume();
    await Promise.all(closed);
  });
  expect(turn).toBeLessThan(250);
});
