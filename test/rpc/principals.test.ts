/** Calls are answered for their principal, over whichever connection they come. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  connectRunner,
  decodeLog,
  encodeLog,
  isSamePrincipal,
  type Peer,
  type Principal,
  principalKey,
  principalOf,
  type RunnerClient,
  RunnerServer,
  type RunnerServerOptions,
} from "../../lib/rpc/index.js";
import { GrpcProxy } from "../support/grpc-proxy.js";
import { handlersWith } from "./support/handlers.js";
import { bytesOf, signalled, streamOf } from "./support/streams.js";
import * as values from "./support/values.js";

const folder = mkdtempSync(join(tmpdir(), "principals-"));
afterAll(() => rmSync(folder, { recursive: true }));
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const otherMachine = "11111111-2222-4333-8444-555555555555";

interface Seen {
  readonly call: string;
  readonly principal: Principal;
  readonly machines: readonly string[];
}

/** A runner that notes for whom it answers. */
async function observed(
  options: Partial<RunnerServerOptions>,
): Promise<{ server: RunnerServer; seen: Seen[] }> {
  const seen: Seen[] = [];
  const note = (call: string, context: { readonly peer: Peer }): void => {
    seen.push({ call, principal: principalOf(context), machines: [...context.peer.machineIds].sort() });
  };
  const server = await RunnerServer.start({
    handlers: handlersWith({
      openTunnel: async (joined, tunnel) => {
        note("openTunnel", tunnel);
        tunnel.send({ kind: "joinResponse", machineId: joined.machineId, maxConcurrentDownloads: 1 });
        for await (const _ of tunnel.messages);
      },
      hasPath: async (_, context) => {
        note("hasPath", context);
        return true;
      },
      buildLog: async ({ chunks }, context) => {
        note("buildLog", context);
        await bytesOf(decodeLog(chunks, { maxBytes: 1_000_000 }));
      },
    }),
    storeDir: values.storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    ...options,
  });
  cleanups.push(() => server.close({ graceMs: 0 }));
  return { server, seen };
}

function clientOf(endpoint: string, token?: string): RunnerClient {
  const client = connectRunner({ endpoint, ...(token === undefined ? {} : { token }) });
  cleanups.push(() => client.close());
  return client;
}

const endpointOf = (server: RunnerServer): string =>
  `http://127.0.0.1:${(server.addresses[0] as AddressInfo).port}`;

function tokenFile(name: string, token: string): string {
  const path = join(folder, name);
  writeFileSync(path, token);
  return path;
}

describe("through a proxy", () => {
  it.each(["perCall", "shared"] as const)(
    "that has %s connections, two builders are told apart by their tokens, and logs find their machines",
    async (connections) => {
      const tokenPaths = [tokenFile("box-a.token", "aaa"), tokenFile("box-b.token", "bbb")];
      const { server, seen } = await observed({ tokenPaths });
      await using proxy = await GrpcProxy.start({ upstream: endpointOf(server), connections });
      const [a, b] = [clientOf(proxy.endpoint, "aaa"), clientOf(proxy.endpoint, "bbb")];
      await a.openTunnel(values.join);
      await b.openTunnel({ ...values.join, machineId: otherMachine });
      await a.buildLog(values.helloDrv, encodeLog(streamOf("of a\n")));
      await b.buildLog(values.helloDrv, encodeLog(streamOf("of b\n")));
      const [principalA, principalB] = ["box-a.token", "box-b.token"].map((name) => ({
        kind: "token",
        name,
      }));
      expect(seen).toEqual([
        { call: "openTunnel", principal: principalA, machines: [values.machineId] },
        { call: "openTunnel", principal: principalB, machines: [otherMachine] },
        { call: "buildLog", principal: principalA, machines: [values.machineId] },
        { call: "buildLog", principal: principalB, machines: [otherMachine] },
      ]);
      expect(proxy.upstreamConnections).toBe(connections === "perCall" ? 4 : 1);
      expect(server.connectionCount).toBeGreaterThan(0);
    },
  );

  it("without tokens, all builders behind it are one anonymous principal", async () => {
    const { server, seen } = await observed({});
    await using proxy = await GrpcProxy.start({ upstream: endpointOf(server), connections: "perCall" });
    await clientOf(proxy.endpoint).openTunnel(values.join);
    await clientOf(proxy.endpoint).openTunnel({ ...values.join, machineId: otherMachine });
    await clientOf(proxy.endpoint).buildLog(values.helloDrv, encodeLog(streamOf("text")));
    expect(seen.at(-1)).toEqual({
      call: "buildLog",
      principal: { kind: "anonymous", address: "127.0.0.1" },
      machines: [otherMachine, values.machineId].sort(),
    });
  });

  it("carries statuses, cancellation and large answers", async () => {
    const left = signalled<string>();
    const { server } = await observed({
      handlers: handlersWith({
        openTunnel: async (joined, tunnel) => {
          tunnel.send({ kind: "joinResponse", machineId: joined.machineId, maxConcurrentDownloads: 1 });
          left.resolve(await tunnel.closed);
        },
        fetchPaths: async () => ({ infos: [], chunks: streamOf(Buffer.alloc(3_000_000, "x")) }),
      }),
    });
    await using proxy = await GrpcProxy.start({ upstream: endpointOf(server), connections: "perCall" });
    const client = clientOf(proxy.endpoint);
    await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "unimplemented" });
    expect(await bytesOf((await client.fetchPaths([])).chunks)).toHaveLength(3_000_000);
    const tunnel = await client.openTunnel(values.join);
    tunnel.close();
    expect(await left.promise).toBe("the builder left");
  });
});

describe("a principal", () => {
  it("is the Unix peer on a socket, and the address without port on TCP", async () => {
    const path = join(folder, "socket");
    const { server, seen } = await observed({
      listeners: [
        { kind: "unix", path },
        { kind: "tcp", host: "127.0.0.1", port: 0 },
      ],
    });
    await clientOf(`unix://${path}`).hasPath(values.hello);
    const tcp = `http://127.0.0.1:${(server.addresses[1] as AddressInfo).port}`;
    await clientOf(tcp).hasPath(values.hello);
    await clientOf(tcp).hasPath(values.hello);
    const anonymous = { kind: "anonymous", address: "127.0.0.1" };
    expect(seen.map(({ principal }) => principal)).toEqual([{ kind: "unixPeer" }, anonymous, anonymous]);
  });

  it("stays the same when the token in its file changes; equal names in two folders are two principals", async () => {
    const file = tokenFile("box.token", "old");
    const { server, seen } = await observed({ tokenPaths: [file] });
    await clientOf(endpointOf(server), "old").hasPath(values.hello);
    writeFileSync(file, "new");
    await server.reloadTokens([file]);
    await clientOf(endpointOf(server), "new").hasPath(values.hello);
    expect(seen.map(({ principal }) => principal)).toEqual([
      { kind: "token", name: "box.token" },
      { kind: "token", name: "box.token" },
    ]);
    const second = mkdtempSync(join(folder, "second-"));
    writeFileSync(join(second, "box.token"), "other");
    await server.reloadTokens([file, join(second, "box.token")]);
    await clientOf(endpointOf(server), "new").hasPath(values.hello);
    await clientOf(endpointOf(server), "other").hasPath(values.hello);
    const [one, two] = seen.slice(2).map(({ principal }) => principal);
    if (one === undefined || two === undefined) throw new Error("two calls were expected");
    expect(isSamePrincipal(one, two)).toBe(false);
    for (const principal of [one, two]) {
      expect(principalKey(principal)).toMatch(/^token box\.token [0-9a-f]{12}$/);
    }
  });

  it("keeps its machine while one of two tunnels is open, as when a builder rejoins before the old one is gone", async () => {
    const { server, seen } = await observed({});
    const [before, after] = [clientOf(endpointOf(server)), clientOf(endpointOf(server))];
    const old = await before.openTunnel(values.join);
    await after.openTunnel(values.join);
    old.close();
    await before.close();
    await expect.poll(() => server.connectionCount).toBe(1);
    await after.hasPath(values.hello);
    expect(seen.at(-1)?.machines).toEqual([values.machineId]);
    await after.close();
    await expect.poll(() => server.connectionCount).toBe(0);
    await clientOf(endpointOf(server)).hasPath(values.hello);
    expect(seen.at(-1)?.machines).toEqual([]);
  });
});
