// A builder whose reports a test writes itself, true or not. It speaks the real protocol with a real runner.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientTlsOptions } from "../../lib/rpc/client/endpoint.js";
import { connectRunner, type RunnerClient } from "../../lib/rpc/client/runner-client.js";
import { encodeLog } from "../../lib/rpc/index.js";
import type { BuilderJoin, BuildOrder, BuiltOutput } from "../../lib/rpc/types.js";
import { quietPing } from "../../lib/testing/simulated/quiet-ping.js";
import { until } from "./until.js";

const join = (machineId: string, hostname: string, system: string): BuilderJoin => ({
  machineId,
  systems: [system],
  hostname,
  cpuCount: 2,
  bogomips: 4000,
  speedFactor: 1,
  maxJobs: 4,
  buildDirAvailThreshold: 0,
  storeAvailThreshold: 0,
  load1Threshold: 1000,
  cpuPsiThreshold: 100,
  memPsiThreshold: 100,
  ioPsiThreshold: undefined,
  totalMem: 1 << 30,
  supportedFeatures: [],
  mandatoryFeatures: [],
  cgroups: false,
  substituters: [],
  useSubstitutes: true,
  nixVersion: "nix (Nix) 2.26.3",
});

export interface LyingBuilderOptions {
  readonly token?: string;
  readonly tls?: ClientTlsOptions;
  readonly hostname?: string;
  /** Default: a new one. */
  readonly machineId?: string;
  /** Systems that it claims, and features that bear their names. Default: its system. */
  readonly systems?: readonly string[];
  /** Builds that it claims to have kept. */
  readonly running?: BuilderJoin["running"];
}

export class LyingBuilder implements AsyncDisposable {
  readonly machineId: string;
  readonly client: RunnerClient;
  /** In order of arrival. */
  readonly orders: BuildOrder[] = [];
  /** Identifiers of the builds that it was told to abort. */
  readonly aborts: string[] = [];

  private constructor(client: RunnerClient, machineId: string) {
    this.client = client;
    this.machineId = machineId;
  }

  /** @throws RpcError when the runner does not take it */
  static async join(
    endpoint: string,
    system: string,
    { token, tls, hostname = "liar", machineId = randomUUID(), systems, running }: LyingBuilderOptions = {},
  ): Promise<LyingBuilder> {
    const builder = new LyingBuilder(connectRunner({ endpoint, token, tls }), machineId);
    const tunnel = await builder.client
      .openTunnel({
        ...join(machineId, hostname, system),
        ...(systems && { systems, supportedFeatures: systems }),
        ...(running && { running }),
      })
      .catch(async (error: unknown) => {
        await builder.client.close();
        throw error;
      });
    const work = async (): Promise<void> => {
      for await (const order of tunnel.orders) {
        if (order.kind === "build") builder.orders.push(order.build);
        if (order.kind === "abort") builder.aborts.push(order.buildId);
      }
    };
    work().catch(() => undefined);
    const pings = setInterval(() => tunnel.sendPing(quietPing(builder.machineId)), 500);
    tunnel.sendPing(quietPing(builder.machineId));
    void tunnel.closed.then(() => clearInterval(pings));
    return builder;
  }

  /** The order with this number, from 0. */
  order(index: number): Promise<BuildOrder> {
    return until(`order ${index}`, () => this.orders[index]);
  }

  /** Says that the build is a success, after the log that every build has. */
  async succeed({ buildId, drv }: BuildOrder, outputs: ReadonlyMap<string, BuiltOutput>): Promise<void> {
    const { machineId } = this;
    await this.client.buildLog(drv, encodeLog((async function* () {})()));
    await this.client.completeBuild({
      buildId,
      machineId,
      state: "success",
      importMs: 0,
      buildMs: 1,
      uploadMs: 0,
      outputs,
      error: undefined,
    });
    // A start that is to be refused needs time to happen.
    await sleep(300);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}
