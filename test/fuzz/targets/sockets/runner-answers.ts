/** A runner whose answers are mutated, over HTTP/2: to each call of the client, and on the tunnel of a whole builder. */
import { BuilderClient } from "../../../../lib/builder/index.js";
import { DaemonStore } from "../../../../lib/nix/index.js";
import {
  connectRunner,
  encodeLog,
  packNars,
  type RunnerClient,
  unpackNars,
} from "../../../../lib/rpc/index.js";
import { bytesOf, streamOf } from "../../../rpc/support/streams.js";
import * as values from "../../../rpc/support/values.js";
import { builderSettings, nixConfiguration } from "../../../support/builder-settings.js";
import { assert, type FuzzTarget } from "../../target.js";
import { FaultLog } from "./fault-log.js";
import { withinLimits } from "./limits.js";
import { LyingDaemon } from "./lying-daemon.js";
import { type LyingAnswer, LyingRunner } from "./lying-runner.js";
import { callOf, recordedBodies } from "./recorded-calls.js";

const versionCheck = {
  version: "1",
  machineId: values.machineId,
  hostname: "builder",
  storeDir: values.storeDir,
};

const calls: Readonly<Record<string, (client: RunnerClient) => Promise<unknown>>> = {
  CheckVersion: (client) => client.checkVersion(versionCheck),
  OpenTunnel: async (client) => {
    const tunnel = await client.openTunnel(values.join);
    try {
      for await (const _ of tunnel.orders);
    } finally {
      tunnel.close();
    }
  },
  BuildStepUpdate: (client) =>
    client.buildStepUpdate({
      buildId: values.buildId,
      machineId: values.machineId,
      status: "building",
    }),
  FetchRequisites: (client) => client.fetchRequisites([values.hello]),
  HasPath: (client) => client.hasPath(values.hello),
  FetchPaths: async (client) => {
    for await (const { nar } of unpackNars(await client.fetchPaths([values.hello]))) await bytesOf(nar);
  },
  BuildLog: (client) => client.buildLog(values.helloDrv, encodeLog(streamOf("a line\n"))),
  BuildResult: (client) => client.buildResult(packNars([values.infoOf("x", 5)], () => streamOf("12345"))),
  RequestPresignedUrl: (client) => client.requestPresignedUrls(values.urlsRequest),
  NotifyPresignedUploadComplete: (client) => client.notifyPresignedUploadComplete(values.uploadComplete),
  CompleteBuild: (client) => client.completeBuild(values.completion),
};

/** Every sixteenth answer breaks off. */
const breaksOff = (input: Uint8Array): boolean => (input.at(-1) ?? 0) % 16 === 15;

/** Each call of our client. */
export async function clientCallsTarget(): Promise<FuzzTarget & AsyncDisposable> {
  let input: Uint8Array = new Uint8Array(1);
  const runner = await LyingRunner.listen(() => ({ body: callOf(input).body, broken: breaksOff(input) }));
  let client: RunnerClient | undefined;
  return {
    name: "runner-answers",
    seeds: recordedBodies("down"),
    async run(given) {
      input = given;
      const { method } = callOf(input);
      client ??= connectRunner({ endpoint: runner.endpoint, retryDelaysMs: [1, 1, 1] });
      const own = client;
      await withinLimits(method, async () => {
        try {
          await calls[method]?.(own);
        } catch (error) {
          // As the builder does: a connection that failed is not used again.
          client = undefined;
          await own.close();
          throw error;
        }
      });
    },
    [Symbol.asyncDispose]: async () => {
      await client?.close();
      await runner[Symbol.asyncDispose]();
    },
  };
}

/** Orders for a builder with a Nix daemon that hangs up on every request. It joins again after each of the answers. */
export async function builderOrdersTarget(): Promise<FuzzTarget & AsyncDisposable> {
  const bodies = recordedBodies("down");
  const valid = new Map(bodies.map((body) => [callOf(body).method, callOf(body).body]));
  const log = new FaultLog();
  let answerTunnel: ((answer: LyingAnswer) => void) | undefined;
  let opened = (): void => {};
  let ended = false;
  const runner = await LyingRunner.listen((method, call) => {
    if (method !== "OpenTunnel") return { body: valid.get(method) ?? new Uint8Array() };
    return new Promise((resolve) => {
      answerTunnel = resolve;
      call.once("close", () => {
        if (answerTunnel === resolve) answerTunnel = undefined;
      });
      opened();
    });
  });
  /** Resolves when the builder wants to join, and waits for the answer. */
  const joining = (): Promise<void> =>
    new Promise((resolve) => {
      opened = resolve;
      if (answerTunnel !== undefined || ended) resolve();
    });
  const answer = (given: LyingAnswer): void => {
    const send = answerTunnel;
    answerTunnel = undefined;
    send?.(given);
  };
  const daemon = await LyingDaemon.listen(() => new Uint8Array());
  const store = await DaemonStore.open({ remote: daemon.address });
  const builder = new BuilderClient({
    settings: { ...builderSettings, pingInterval: 1 },
    gateways: [
      {
        address: "lying",
        connect: () => connectRunner({ endpoint: runner.endpoint, retryDelaysMs: [1, 1, 1] }),
      },
    ],
    store,
    nixConfiguration,
    logger: log.logger,
    reconnectDelayMs: { first: 1, longest: 1 },
    reconnectTimeoutMs: 1_000_000_000,
  });
  const started = builder.start();
  await joining();
  answer({ body: valid.get("OpenTunnel") ?? new Uint8Array() });
  await started;
  void builder.finished.then(() => {
    ended = true;
    opened();
  });
  return {
    name: "builder-orders",
    seeds: bodies.filter((body) => callOf(body).method === "OpenTunnel"),
    async run(given) {
      await joining();
      await withinLimits("builder", () => {
        answer({ body: callOf(given).body, broken: breaksOff(given) });
        return joining();
      });
      assert(!ended, "no answer to a join but a refusal ends a builder");
      log.check();
    },
    [Symbol.asyncDispose]: async () => {
      await builder.close();
      await store.close();
      await runner[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
    },
  };
}
