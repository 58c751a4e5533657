/** Proxies end connections after some requests; the tunnel and all calls go on. */
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { connectRunner, decodeLog, encodeLog, RunnerServer } from "../../lib/rpc/index.js";
import { GrpcProxy } from "../support/grpc-proxy.js";
import { handlersWith } from "./support/handlers.js";
import { bytesOf, streamOf } from "./support/streams.js";
import * as values from "./support/values.js";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function behindProxy(maxRequests: number) {
  const logs: string[] = [];
  let orders: ((text: string) => void) | undefined;
  const server = await RunnerServer.start({
    handlers: handlersWith({
      openTunnel: async (joined, tunnel) => {
        tunnel.send({ kind: "joinResponse", machineId: joined.machineId, maxConcurrentDownloads: 1 });
        orders = (buildId) => void tunnel.send({ kind: "abort", buildId });
        await tunnel.closed;
      },
      hasPath: async () => true,
      buildLog: async ({ chunks }) => {
        logs.push((await bytesOf(decodeLog(chunks, { maxBytes: 1_000_000 }))).toString());
      },
      fetchPaths: async () => ({ infos: [], chunks: streamOf(Buffer.alloc(500_000, "x")) }),
    }),
    storeDir: values.storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
  });
  cleanups.push(() => server.close({ graceMs: 0 }));
  const upstream = `http://127.0.0.1:${(server.addresses[0] as AddressInfo).port}`;
  const proxy = await GrpcProxy.start({ upstream, connections: "perCall", maxRequests });
  cleanups.push(() => proxy[Symbol.asyncDispose]());
  const client = connectRunner({ endpoint: proxy.endpoint, retryDelaysMs: [] });
  cleanups.push(() => client.close());
  return { client, logs, server, proxy, send: (buildId: string) => orders?.(buildId) };
}

it.each([1, 2, 7])(
  "after each %i requests: calls one after the other, and the tunnel stays",
  async (maxRequests) => {
    const { client, logs, send } = await behindProxy(maxRequests);
    const tunnel = await client.openTunnel(values.join);
    const orders = tunnel.orders[Symbol.asyncIterator]();
    expect((await orders.next()).value).toMatchObject({ kind: "joinResponse" });
    for (let index = 0; index < 10; index++) {
      expect(await client.hasPath(values.hello)).toBe(true);
      await client.buildLog(values.helloDrv, encodeLog(streamOf(`log ${index}`)));
      expect(await bytesOf((await client.fetchPaths([])).chunks)).toHaveLength(500_000);
    }
    expect(logs).toEqual(Array.from({ length: 10 }, (_, index) => `log ${index}`));
    send(values.machineId);
    expect((await orders.next()).value).toEqual({ kind: "abort", buildId: values.machineId });
  },
);

it("many calls at once are made again when they came too late for their connection", async () => {
  const { client } = await behindProxy(10);
  await client.openTunnel(values.join);
  const answers = await Promise.all(Array.from({ length: 100 }, () => client.hasPath(values.hello)));
  expect(answers).toEqual(Array.from({ length: 100 }, () => true));
});

it("when the tunnel breaks, the client is lost, with all its connections", async () => {
  const { client, proxy, server } = await behindProxy(2);
  const tunnel = await client.openTunnel(values.join);
  for (let index = 0; index < 5; index++) await client.hasPath(values.hello);
  proxy.cut();
  await expect(bytesOf(tunnel.orders as AsyncIterable<never>)).rejects.toMatchObject({ code: "unavailable" });
  await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "unavailable" });
  await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "unavailable" });
  await expect.poll(() => server.connectionCount).toBe(0);
});

it("closing ends all connections", async () => {
  const { client, server } = await behindProxy(2);
  const tunnel = await client.openTunnel(values.join);
  for (let index = 0; index < 5; index++) await client.hasPath(values.hello);
  await client.close();
  expect(await tunnel.closed).toBe("we left");
  await expect.poll(() => server.connectionCount).toBe(0);
});
