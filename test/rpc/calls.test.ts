import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { parseStorePath } from "../../lib/nix/index.js";
import {
  checkTls,
  connectRunner,
  decodeLog,
  encodeLog,
  type ListenerOptions,
  packNars,
  type RpcCallRecord,
  RpcError,
  type RunnerClient,
  type RunnerClientOptions,
  type RunnerOrder,
  RunnerServer,
  type RunnerServerOptions,
  type RunnerServiceHandlers,
  unpackNars,
} from "../../lib/rpc/index.js";
import { handlersWith } from "./support/handlers.js";
import { bytesOf, signalled, streamOf } from "./support/streams.js";
import * as values from "./support/values.js";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const folder = mkdtempSync(joinPath(tmpdir(), "rpc-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Setup {
  readonly listener?: ListenerOptions;
  readonly server?: Partial<RunnerServerOptions>;
  readonly client?: Partial<RunnerClientOptions>;
}

async function pair(
  handlers: Partial<RunnerServiceHandlers>,
  setup: Setup = {},
): Promise<{ client: RunnerClient; server: RunnerServer; endpoint: string }> {
  const listener = setup.listener ?? { kind: "tcp", host: "::1", port: 0 };
  const server = await RunnerServer.start({
    handlers: handlersWith(handlers),
    storeDir: values.storeDir,
    listeners: [listener],
    ...setup.server,
  });
  cleanups.push(() => server.close({ graceMs: 100 }));
  const scheme = setup.server?.tls === undefined ? "http" : "https";
  const endpoint =
    listener.kind === "unix"
      ? `unix://${listener.path}`
      : `${scheme}://[::1]:${(server.addresses[0] as AddressInfo).port}`;
  const client = connectRunner({ endpoint, retryDelaysMs: [1, 1, 1], ...setup.client });
  cleanups.push(() => client.close());
  return { client, server, endpoint };
}

describe("every call, client against server", () => {
  it("checkVersion", async () => {
    const check = { version: "1", machineId: "anything", hostname: "h", storeDir: "/nix/store" };
    const { client } = await pair({
      checkVersion: (got) => {
        expect(got).toEqual(check);
        return Promise.resolve({ compatible: true, serverVersion: "2+resume" });
      },
    });
    expect(await client.checkVersion(check)).toEqual({ compatible: true, serverVersion: "2+resume" });
  });

  it("buildStepUpdate, fetchRequisites, hasPath, completeBuild", async () => {
    const seen: unknown[] = [];
    const { client } = await pair({
      buildStepUpdate: async (update) => void seen.push(update),
      fetchRequisites: async (paths) => [...paths, values.helloDrv],
      hasPath: async (path) => path === values.hello,
      completeBuild: async (completion) => void seen.push(completion),
    });
    const update = { buildId: values.buildId, machineId: values.machineId, status: "building" } as const;
    await client.buildStepUpdate(update);
    expect(await client.fetchRequisites([values.hello])).toEqual([values.hello, values.helloDrv]);
    expect(await client.hasPath(values.hello)).toBe(true);
    expect(await client.hasPath(values.helloDrv)).toBe(false);
    await client.completeBuild(values.completion);
    const failed = { ...values.completion, state: "buildFailure", outputs: new Map(), error: "e" } as const;
    await client.completeBuild({ ...failed, cause: "diskFull" });
    expect(seen).toEqual([update, values.completion, { ...failed, cause: "diskFull" }]);
  });

  it("the presigned calls", async () => {
    const seen: unknown[] = [];
    const { client } = await pair({
      requestPresignedUrls: async (request) => {
        seen.push(request);
        return [values.presignedNar];
      },
      requestMultipartParts: async (request) => {
        seen.push(request);
        return [{ partNumber: 3, url: "https://s3/3" }];
      },
      notifyPresignedUploadComplete: async (upload) => void seen.push(upload),
    });
    expect(await client.requestPresignedUrls(values.urlsRequest)).toEqual([values.presignedNar]);
    const parts = {
      buildId: values.buildId,
      machineId: values.machineId,
      objectKey: "k",
      uploadId: "u",
      startPartNumber: 3,
      numParts: 1,
      bucket: undefined,
    };
    expect(await client.requestMultipartParts(parts)).toEqual([{ partNumber: 3, url: "https://s3/3" }]);
    await client.notifyPresignedUploadComplete(values.uploadComplete);
    expect(seen).toEqual([values.urlsRequest, parts, values.uploadComplete]);
  });

  it("fetchPaths and buildResult carry many NARs", async () => {
    const nars = new Map([
      ["a", Buffer.alloc(300_000, "a")],
      ["b", Buffer.from("b".repeat(24))],
      ["c", Buffer.alloc(5_000_000, "cdefg")],
    ]);
    const infos = [...nars].map(([name, nar]) => values.infoOf(name, nar.length));
    const narOf = (name: string): Buffer => nars.get(name.slice(33)) ?? Buffer.alloc(0);
    const received: [string, Buffer][] = [];
    const { client } = await pair({
      fetchPaths: async (paths) => {
        expect(paths).toEqual(infos.map((info) => info.path));
        return packNars(infos, (info) => streamOf(narOf(info.path)));
      },
      buildResult: async (stream) => {
        expect(stream.infos).toEqual(infos);
        for await (const { info, nar } of unpackNars(stream)) received.push([info.path, await bytesOf(nar)]);
      },
    });
    const stream = await client.fetchPaths(infos.map((info) => info.path));
    expect(stream.infos).toEqual(infos);
    for await (const { info, nar } of unpackNars(stream)) {
      expect((await bytesOf(nar)).equals(narOf(info.path))).toBe(true);
    }
    await client.buildResult(packNars(infos, (info) => streamOf(narOf(info.path))));
    expect(received.map(([path]) => path)).toEqual(infos.map((info) => info.path));
    for (const [path, nar] of received) expect(nar.equals(narOf(path))).toBe(true);
  });

  it("buildLog shows text while the build still runs", async () => {
    const first = signalled();
    let log = "";
    const { client } = await pair({
      buildLog: async ({ drv, chunks }) => {
        expect(drv).toBe(values.helloDrv);
        for await (const chunk of decodeLog(chunks, { maxBytes: 2 ** 26 })) {
          log += Buffer.from(chunk).toString();
          if (log === "a line of the log\n") first.resolve();
        }
      },
    });
    async function* text(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("a line of the log\n");
      await first.promise;
      yield Buffer.from("two\n");
    }
    await client.buildLog(values.helloDrv, encodeLog(text()));
    expect(log).toBe("a line of the log\ntwo\n");
  });

  it("a silent build has an empty log", async () => {
    let log: string | undefined;
    const { client } = await pair({
      buildLog: async ({ chunks }) => {
        log = (await bytesOf(decodeLog(chunks, { maxBytes: 2 ** 26 }))).toString();
      },
    });
    await client.buildLog(values.helloDrv, encodeLog(streamOf()));
    expect(log).toBe("");
  });

  it("tunnel: join, orders, pings, running builds, end", async () => {
    const running = [{ buildId: values.buildId, drv: values.helloDrv, ageMs: 1234 }];
    const pinged = signalled<unknown>();
    const orders: RunnerOrder[] = [
      { kind: "joinResponse", machineId: values.machineId, maxConcurrentDownloads: 5 },
      { kind: "ping", message: "ping" },
      { kind: "configUpdate", maxConcurrentDownloads: 7 },
      { kind: "build", build: values.order },
      { kind: "abort", buildId: values.buildId },
    ];
    const { client } = await pair({
      openTunnel: async (join, tunnel) => {
        expect(join).toEqual({ ...values.join, running });
        for (const one of orders) expect(tunnel.send(one)).toBe(true);
        for await (const ping of tunnel.messages) {
          pinged.resolve(ping);
          break;
        }
      },
    });
    const tunnel = await client.openTunnel({ ...values.join, running });
    tunnel.sendPing(values.ping);
    const got: RunnerOrder[] = [];
    for await (const one of tunnel.orders) got.push(one);
    expect(got).toEqual(orders);
    expect(await pinged.promise).toMatchObject({ machineId: values.machineId, storeFreePercent: 100 });
    expect(await tunnel.closed).toBe("the runner ended the tunnel");
  });

  it("a refused join rejects with the runner's reason", async () => {
    const { client } = await pair({
      openTunnel: () => Promise.reject(new RpcError("invalid-argument", "grüße: no")),
    });
    await expect(client.openTunnel(values.join)).rejects.toMatchObject({
      code: "invalid-argument",
      message: "grüße: no",
    });
  });

  it("a builder that leaves ends the tunnel at the runner", async () => {
    const over = signalled<string>();
    const { client } = await pair({
      openTunnel: async (_join, tunnel) => {
        tunnel.send({ kind: "joinResponse", machineId: values.machineId, maxConcurrentDownloads: 5 });
        over.resolve(await tunnel.closed);
      },
    });
    const tunnel = await client.openTunnel(values.join);
    tunnel.close();
    expect(await over.promise).toBe("the builder left");
    expect(await tunnel.closed).toBe("we left");
  });

  it("a runner that closes a tunnel tells why", async () => {
    const { client } = await pair({
      openTunnel: async (_join, tunnel) => {
        tunnel.send({ kind: "joinResponse", machineId: values.machineId, maxConcurrentDownloads: 5 });
        await new Promise((resolve) => setTimeout(resolve, 20));
        tunnel.close("that is all");
      },
    });
    const tunnel = await client.openTunnel(values.join);
    await expect(bytesOf(tunnel.orders as AsyncIterable<never>)).rejects.toMatchObject({
      code: "unavailable",
      message: "that is all",
    });
  });
});

describe("statuses", () => {
  it("of unary and bulk calls reach the client", async () => {
    const { client } = await pair({
      hasPath: () => Promise.reject(new RpcError("not-found", "100 % gone\n")),
      fetchPaths: () => Promise.reject(new RpcError("not-found", "100 % gone\n")),
      buildResult: () => Promise.reject(new RpcError("resource-exhausted", "full")),
      buildLog: () => Promise.reject(new Error("a bug")),
    });
    const gone = { code: "not-found", message: "100 % gone\n" };
    await expect(client.hasPath(values.hello)).rejects.toMatchObject(gone);
    await expect(client.fetchPaths([values.hello])).rejects.toMatchObject(gone);
    await expect(client.buildResult({ infos: [], chunks: streamOf("x") })).rejects.toMatchObject({
      code: "resource-exhausted",
    });
    await expect(client.buildLog(values.helloDrv, streamOf("x"))).rejects.toMatchObject({
      code: "internal",
      message: "a bug",
    });
  });

  it("an error in the middle of fetchPaths is not an end", async () => {
    const { client } = await pair({
      fetchPaths: async () => ({
        infos: [],
        chunks: (async function* () {
          yield Buffer.from("some");
          throw new RpcError("data-loss", "the daemon died");
        })(),
      }),
    });
    const { chunks } = await client.fetchPaths([]);
    await expect(bytesOf(chunks)).rejects.toMatchObject({ code: "data-loss" });
  });

  it("calls that may be repeated are, others are not", async () => {
    let tries = 0;
    const { client } = await pair({
      completeBuild: async () => {
        tries += 1;
        if (tries < 3) throw new RpcError("internal", "database away");
      },
      hasPath: async () => {
        tries += 1;
        throw new RpcError("internal", "daemon away");
      },
    });
    await client.completeBuild(values.completion);
    expect(tries).toBe(3);
    await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "internal" });
    expect(tries).toBe(4);
  });

  it("a deadline ends unary and bulk calls on both sides", async () => {
    const signals: AbortSignal[] = [];
    const hang = (_: unknown, { signal }: { signal: AbortSignal }): Promise<never> => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const { client } = await pair({ hasPath: hang, fetchPaths: hang, buildResult: hang });
    const late = { code: "deadline-exceeded" };
    const chunks = streamOf("x");
    // Long enough for all three to reach their handlers before it.
    const options = { timeoutMs: 1_000 };
    await Promise.all([
      expect(client.hasPath(values.hello, options)).rejects.toMatchObject(late),
      expect(client.fetchPaths([], options)).rejects.toMatchObject(late),
      expect(client.buildResult({ infos: [], chunks }, options)).rejects.toMatchObject(late),
    ]);
    await expect.poll(() => signals.every((signal) => signal.aborted)).toBe(true);
    expect(signals).toHaveLength(3);
  });

  it("nobody there is unavailable", async () => {
    const client = connectRunner({ endpoint: "http://127.0.0.1:1", retryDelaysMs: [] });
    const away = { code: "unavailable" };
    await expect(client.hasPath(values.hello)).rejects.toMatchObject(away);
    await expect(client.fetchPaths([])).rejects.toMatchObject(away);
    await expect(client.buildLog(values.helloDrv, streamOf("x"))).rejects.toMatchObject(away);
    await expect(client.openTunnel(values.join)).rejects.toMatchObject(away);
    await client.close();
  });

  it("a lost connection is unavailable for whatever runs", async () => {
    const hang = (): Promise<never> => new Promise(() => {});
    const { client, server } = await pair({
      hasPath: hang,
      buildResult: hang,
      fetchPaths: hang,
      openTunnel: async (_join, tunnel) => {
        tunnel.send({ kind: "joinResponse", machineId: values.machineId, maxConcurrentDownloads: 5 });
        await tunnel.closed;
      },
    });
    const tunnel = await client.openTunnel(values.join);
    const forever = {
      infos: [],
      chunks: (async function* () {
        yield Buffer.from("x");
        await hang();
      })(),
    };
    const calls = [client.hasPath(values.hello), client.buildResult(forever), client.fetchPaths([])];
    const results = Promise.allSettled(calls);
    await expect.poll(() => server.connectionCount).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await server.close({ graceMs: 0 });
    await expect(bytesOf(tunnel.orders as AsyncIterable<never>)).rejects.toMatchObject({
      code: "unavailable",
    });
    for (const result of await results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
    }
  });
});

describe("tokens", () => {
  const paths = [joinPath(folder, "one"), joinPath(folder, "two")];
  beforeAll(() => {
    for (const path of paths) writeFileSync(path, ` ${path}\n`);
  });

  it("lets a known one in, on every kind of call, and says whose it was", async () => {
    const peers: (string | undefined)[] = [];
    const calls: RpcCallRecord[] = [];
    const { client } = await pair(
      {
        hasPath: async (_, { peer }) => peers.push(peer.token) > 0,
        fetchPaths: async (_, { peer }) => {
          peers.push(peer.token);
          return { infos: [], chunks: streamOf() };
        },
      },
      {
        server: { tokenPaths: paths, onCall: (call) => void calls.push(call) },
        client: { token: paths[1] ?? "" },
      },
    );
    await client.hasPath(values.hello);
    await bytesOf((await client.fetchPaths([])).chunks);
    expect(peers).toEqual(["two", "two"]);
    expect(calls.map(({ method, status }) => [method, status])).toEqual([
      ["HasPath", "ok"],
      ["FetchPaths", "ok"],
    ]);
  });

  it.each([
    ["wrong", "nonsense"],
    ["missing", undefined],
  ])("refuses a %s one", async (_, token) => {
    const { client } = await pair({}, { server: { tokenPaths: paths }, client: { token } });
    const refused = { code: "unauthenticated" };
    await expect(client.hasPath(values.hello)).rejects.toMatchObject(refused);
    await expect(client.fetchPaths([])).rejects.toMatchObject(refused);
    await expect(client.buildLog(values.helloDrv, streamOf("x"))).rejects.toMatchObject(refused);
    await expect(client.openTunnel(values.join)).rejects.toMatchObject(refused);
    await expect(client.completeBuild(values.completion)).rejects.toMatchObject(refused);
  });

  it("an empty list refuses everybody; an unreadable file stops the start", async () => {
    const { client } = await pair({}, { server: { tokenPaths: [] }, client: { token: "x" } });
    await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(pair({}, { server: { tokenPaths: [joinPath(folder, "none")] } })).rejects.toMatchObject({
      code: "secret-file",
    });
  });
});

describe("other transports", () => {
  it("a Unix socket", async () => {
    const path = joinPath(folder, "socket");
    const { client } = await pair(
      {
        hasPath: async (_, { peer }) => peer.address === "unix",
        fetchPaths: async () => ({ infos: [], chunks: streamOf("x") }),
      },
      { listener: { kind: "unix", path } },
    );
    expect(await client.hasPath(values.hello)).toBe(true);
    expect((await bytesOf((await client.fetchPaths([])).chunks)).toString()).toBe("x");
  });

  describe("TLS", () => {
    const file = (name: string): string => joinPath(folder, name);
    const pem = (name: string): string => readFileSync(file(name), "utf8");
    beforeAll(() => {
      const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe" });
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
      const authority = (name: string): void =>
        openssl(
          "req",
          "-x509",
          ...key,
          "-keyout",
          file(`${name}.key`),
          "-out",
          file(`${name}.pem`),
          "-subj",
          `/CN=${name}`,
          "-days",
          "2",
        );
      const certificate = (name: string, ca: string): void => {
        openssl(
          "req",
          ...key,
          "-keyout",
          file(`${name}.key`),
          "-out",
          file(`${name}.csr`),
          "-subj",
          `/CN=${name}`,
        );
        writeFileSync(file(`${name}.ext`), "subjectAltName=DNS:runner.example,IP:::1\n");
        openssl(
          "x509",
          "-req",
          "-in",
          file(`${name}.csr`),
          "-CA",
          file(`${ca}.pem`),
          "-CAkey",
          file(`${ca}.key`),
          "-CAcreateserial",
          "-days",
          "2",
          "-extfile",
          file(`${name}.ext`),
          "-out",
          file(`${name}.pem`),
        );
      };
      authority("ca");
      authority("stranger");
      certificate("server", "ca");
      certificate("client", "ca");
      certificate("intruder", "stranger");
    });
    const serve = (mutual: boolean): Partial<RunnerServerOptions> => ({
      tls: {
        certificate: pem("server.pem"),
        key: pem("server.key"),
        ...(mutual ? { clientCa: pem("ca.pem") } : {}),
      },
    });
    const handlers: Partial<RunnerServiceHandlers> = {
      hasPath: async () => true,
      fetchPaths: async () => ({ infos: [], chunks: streamOf("x") }),
    };

    // Some releases of Node 22 do not find an IPv6 address among the names of a certificate.
    const serverName = "runner.example";

    it("server-only", async () => {
      const { client } = await pair(handlers, {
        server: serve(false),
        client: { tls: { ca: pem("ca.pem"), serverName } },
      });
      expect(await client.hasPath(values.hello)).toBe(true);
      expect((await bytesOf((await client.fetchPaths([])).chunks)).toString()).toBe("x");
    });

    it("a new certificate counts for new connections; one that cannot be used changes nothing", async () => {
      const { client, server, endpoint } = await pair(handlers, {
        server: serve(false),
        client: { tls: { ca: pem("ca.pem"), serverName } },
      });
      expect(await client.hasPath(values.hello)).toBe(true);
      const answersTo = async (ca: string): Promise<unknown> => {
        const fresh = connectRunner({ endpoint, tls: { ca: pem(ca), serverName } });
        try {
          return await fresh.hasPath(values.hello).catch((error: RpcError) => error.code);
        } finally {
          await fresh.close();
        }
      };
      const other = { certificate: pem("intruder.pem"), key: pem("intruder.key") };
      expect(() => checkTls({ ...other, key: pem("server.key") })).toThrow("TLS");
      expect(await answersTo("stranger.pem")).toBe("unavailable");
      checkTls(other);
      server.reloadTls(other);
      expect(await answersTo("stranger.pem")).toBe(true);
      expect(await answersTo("ca.pem")).toBe("unavailable");
      expect(await client.hasPath(values.hello)).toBe(true);
    });

    it("a server of another authority is not trusted", async () => {
      const { client } = await pair(handlers, {
        server: serve(false),
        client: { tls: { ca: pem("stranger.pem"), serverName } },
      });
      await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "unavailable" });
    });

    it("mutual: our certificate is asked for", async () => {
      const tls = { serverName, ca: pem("ca.pem"), certificate: pem("client.pem"), key: pem("client.key") };
      const { client } = await pair(handlers, { server: serve(true), client: { tls } });
      expect(await client.hasPath(values.hello)).toBe(true);
    });

    it("mutual: none, or one of another authority, is turned away", async () => {
      const { endpoint } = await pair(handlers, { server: serve(true), client: {} });
      const intruder = { certificate: pem("intruder.pem"), key: pem("intruder.key") };
      for (const extra of [{}, intruder]) {
        const client = connectRunner({ endpoint, tls: { ca: pem("ca.pem"), serverName, ...extra } });
        await expect(client.hasPath(values.hello)).rejects.toMatchObject({ code: "unavailable" });
        await client.close();
      }
    });
  });
});

it("a path with a hostile name never reaches a handler", async () => {
  const { client } = await pair({ hasPath: async () => true });
  const odd = "../../etc/passwd" as ReturnType<typeof parseStorePath>;
  await expect(client.hasPath(odd)).rejects.toMatchObject({ code: "invalid-argument" });
});
