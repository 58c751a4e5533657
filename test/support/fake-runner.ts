// A runner as a builder sees it, without network, scheduler or database: a store, a tunnel, and a record of all calls.

import type { StorePath } from "../../lib/nix/path/store-path.js";
import type { Store } from "../../lib/nix/store/store.js";
import { decodeLog, packNars, RpcError, unpackNars } from "../../lib/rpc/index.js";
import type {
  BuildCompletion,
  BuilderJoin,
  BuilderPing,
  BuilderTunnel,
  PresignedNar,
  PresignedUploadComplete,
  PresignedUrlsRequest,
  RunnerApi,
  RunnerOrder,
  RunnerServiceHandlers,
  StepUpdate,
  TunnelConnection,
} from "../../lib/rpc/types.js";

export interface FakeRunnerOptions {
  /** What the runner has; without one it has nothing and takes nothing. */
  readonly store?: Store;
  readonly version?: string;
  readonly compatible?: boolean;
  readonly presign?: (request: PresignedUrlsRequest) => Promise<readonly PresignedNar[]>;
}

export class FakeRunner {
  readonly joins: BuilderJoin[] = [];
  readonly pings: BuilderPing[] = [];
  readonly updates: StepUpdate[] = [];
  readonly completions: BuildCompletion[] = [];
  readonly logs = new Map<StorePath, string>();
  readonly published: PresignedUploadComplete[] = [];
  /** Names of calls in the order of their arrival. */
  readonly calls: string[] = [];
  readonly fetched: StorePath[] = [];
  readonly received: StorePath[] = [];
  /** Called first in each call; throw to refuse. */
  onCall: (name: string) => void | Promise<void> = () => {};
  readonly #options: FakeRunnerOptions;
  readonly #tunnels = new Set<FakeTunnel>();
  readonly #served = new Set<TunnelConnection>();
  #waiters: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  constructor(options: FakeRunnerOptions = {}) {
    this.#options = options;
  }

  /** Sends to all builders. */
  send(order: RunnerOrder): void {
    for (const tunnel of this.#tunnels) tunnel.push(order);
    for (const tunnel of this.#served) tunnel.send(order);
  }

  /** Ends all tunnels as a lost connection would. */
  drop(): void {
    for (const tunnel of this.#tunnels) tunnel.end(new RpcError("unavailable", "connection lost"));
    this.#tunnels.clear();
  }

  /** Resolves when `done` holds; looked at after each call. */
  async until(done: () => boolean): Promise<void> {
    if (done()) return;
    await new Promise<void>((resolve) => {
      this.#waiters.push({ done, resolve });
    });
  }

  async completion(buildId: string): Promise<BuildCompletion> {
    const find = (): BuildCompletion | undefined => this.completions.find((one) => one.buildId === buildId);
    await this.until(() => find() !== undefined);
    const found = find();
    if (found === undefined) throw new Error("unreachable");
    return found;
  }

  /** One connection of a builder. */
  connect(): RunnerApi {
    const call = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      this.calls.push(name);
      this.look();
      await this.onCall(name);
      try {
        return await work();
      } finally {
        this.look();
      }
    };
    const store = (): Store => {
      if (this.#options.store === undefined) throw new RpcError("internal", "this runner has no store");
      return this.#options.store;
    };
    return {
      checkVersion: () =>
        call("checkVersion", async () => ({
          compatible: this.#options.compatible ?? true,
          serverVersion: this.#options.version ?? "test",
        })),
      openTunnel: (join) =>
        call("openTunnel", async () => {
          this.joins.push(join);
          const tunnel = new FakeTunnel((ping) => {
            this.pings.push(ping);
            this.look();
          });
          this.#tunnels.add(tunnel);
          tunnel.push({ kind: "joinResponse", machineId: join.machineId, maxConcurrentDownloads: 2 });
          return tunnel;
        }),
      buildStepUpdate: (update) => call("buildStepUpdate", async () => void this.updates.push(update)),
      fetchRequisites: (paths) =>
        call("fetchRequisites", async () => (await store().closure(paths)).map((info) => info.path)),
      hasPath: (path) =>
        call("hasPath", async () => (this.#options.store === undefined ? false : store().isValidPath(path))),
      fetchPaths: (paths) =>
        call("fetchPaths", async () => {
          this.fetched.push(...paths);
          const infos = await store().queryPathInfos(paths);
          const ordered = paths.flatMap((path) => infos.get(path) ?? []);
          if (ordered.length < paths.length) throw new RpcError("not-found", "a path is not valid");
          return packNars(ordered, (info) => store().narFromPath(info.path));
        }),
      buildLog: (drv, chunks) =>
        call("buildLog", async () => {
          this.logs.set(drv, "");
          for await (const text of decodeLog(chunks, { maxBytes: 2 ** 26 })) {
            this.logs.set(drv, this.logs.get(drv) + Buffer.from(text).toString());
            this.look();
          }
        }),
      buildResult: (stream) =>
        call("buildResult", async () => {
          for await (const { info, nar } of unpackNars(stream)) {
            await store().addToStoreNar(info, nar);
            this.received.push(info.path);
          }
        }),
      requestPresignedUrls: (request) =>
        call("requestPresignedUrls", async () => {
          if (this.#options.presign === undefined) throw new RpcError("failed-precondition", "no cache");
          return this.#options.presign(request);
        }),
      requestMultipartParts: () => call("requestMultipartParts", async () => []),
      notifyPresignedUploadComplete: (upload) =>
        call("notifyPresignedUploadComplete", async () => void this.published.push(upload)),
      completeBuild: (completion) =>
        call("completeBuild", async () => void this.completions.push(completion)),
      close: async () => {},
    };
  }

  /** The same runner behind a server. */
  handlers(): RunnerServiceHandlers {
    const api = this.connect();
    return {
      checkVersion: (check) => api.checkVersion(check),
      openTunnel: async (join, tunnel) => {
        this.calls.push("openTunnel");
        this.joins.push(join);
        this.#served.add(tunnel);
        tunnel.send({ kind: "joinResponse", machineId: join.machineId, maxConcurrentDownloads: 2 });
        this.look();
        try {
          for await (const ping of tunnel.messages) {
            this.pings.push(ping);
            this.look();
          }
        } finally {
          this.#served.delete(tunnel);
        }
      },
      buildStepUpdate: (update) => api.buildStepUpdate(update),
      fetchRequisites: (paths) => api.fetchRequisites(paths),
      hasPath: (path) => api.hasPath(path),
      fetchPaths: (paths) => api.fetchPaths(paths),
      buildLog: ({ drv, chunks }) => api.buildLog(drv, chunks),
      buildResult: (stream) => api.buildResult(stream),
      requestPresignedUrls: (request) => api.requestPresignedUrls(request),
      requestMultipartParts: (request) => api.requestMultipartParts(request),
      notifyPresignedUploadComplete: (upload) => api.notifyPresignedUploadComplete(upload),
      completeBuild: (completion) => api.completeBuild(completion),
    };
  }

  private look(): void {
    const due = this.#waiters.filter((waiter) => waiter.done());
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter));
    for (const waiter of due) waiter.resolve();
  }
}

class FakeTunnel implements BuilderTunnel {
  readonly closed: Promise<string>;
  readonly sendPing: (ping: BuilderPing) => void;
  readonly #queue: RunnerOrder[] = [];
  #ended: { readonly error: Error | undefined } | undefined;
  #wake: () => void = () => {};
  #close: (reason: string) => void = () => {};

  constructor(sendPing: (ping: BuilderPing) => void) {
    this.sendPing = sendPing;
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  get orders(): AsyncIterable<RunnerOrder> {
    return this.#read();
  }

  push(order: RunnerOrder): void {
    this.#queue.push(order);
    this.#wake();
  }

  end(error?: Error): void {
    this.#ended ??= { error };
    this.#close(error?.message ?? "closed");
    this.#wake();
  }

  close(): void {
    this.end();
  }

  async *#read(): AsyncGenerator<RunnerOrder> {
    for (;;) {
      const order = this.#queue.shift();
      if (order !== undefined) yield order;
      else if (this.#ended?.error !== undefined) throw this.#ended.error;
      else if (this.#ended !== undefined) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
