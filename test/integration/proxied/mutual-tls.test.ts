// Builders with client certificates: directly, and behind proxies that end TLS and show a certificate of their own.
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { connectRunner } from "../../../lib/rpc/index.js";
import { Certificates } from "../../support/certificates.js";
import { GrpcProxy } from "../../support/grpc-proxy.js";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { buildOnEach, cancelOnEach, reserved, resumeOnEach } from "./checks.js";
import { buildRecorded, joinRecorded } from "./recorded.js";

const proxies: GrpcProxy[] = [];
let folder = "";
let certificates: Certificates | undefined;
const issued = (): Certificates => {
  if (certificates === undefined) throw new Error("no certificates were issued");
  return certificates;
};

const names = ["straight", "alone", "one", "two"];

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-certificates-"));
  certificates = await Certificates.issue(folder, ["runner", "proxy", "vm", ...names]);
  const tls = { server: await issued().identity("runner"), client: await issued().identity("proxy") };
  const proxy = (connections: "perCall" | "shared") => async (upstream: string) => {
    const started = await GrpcProxy.start({ upstream, connections, tls });
    proxies.push(started);
    return started;
  };
  const gateways = { alone: "perCall", one: "shared", two: "shared" } as Readonly<Record<string, string>>;
  return {
    databaseUrl: await testDatabase(),
    tls: true,
    runnerFlags: certificates.runnerFlags("runner"),
    gateways: { perCall: proxy("perCall"), shared: proxy("shared") },
    builders: names.map((name) => {
      const gateway = gateways[name];
      const flags = issued().builderFlags(name);
      return reserved(name, { flags, ...(gateway !== undefined && { gateway }) });
    }),
  };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("builds, logs and outputs", async () => {
  await buildOnEach(pair(), names);
});

test("a build that is cancelled ends on its machine", async () => {
  await cancelOnEach(pair(), names);
});

test("builds go on after the connections of the proxies broke", async () => {
  await resumeOnEach(pair(), names, () => {
    for (const proxy of proxies) proxy.cut();
  });
});

test.each([
  ["directly", undefined, "success", "hello.drv"],
  ["through perCall", "perCall", "outputs", "multi.drv"],
  ["through shared", "shared", "products", "products.drv"],
] as const)("the recorded builder builds %s", async (_, gateway, recordedCase, drv) => {
  const tls = await issued().identity("vm");
  // Behind the proxies it is another principal, as the runner sees only their certificate.
  await buildRecorded(pair(), { tls, gateway, machineId: randomUUID() }, recordedCase, drv);
});

test("a certificate does not speak for the machine of another", async () => {
  await using owner = await joinRecorded(pair(), { tls: await issued().identity("vm"), gateway: undefined });
  const [id = 0] = await pair().build(shellDerivation("certified", "echo > $out"));
  const buildId = await until("the order", () => owner.orders.get("certified.drv"));
  const { cert: certificate, key, ca } = await issued().identity("straight");
  const client = connectRunner({ endpoint: pair().gatewayUrl, tls: { certificate, key, ca } });
  try {
    await expect(
      client.completeBuild({
        ...{ buildId, machineId: owner.machineId, state: "buildFailure", importMs: 0, buildMs: 1 },
        ...{ uploadMs: 0, outputs: new Map(), error: undefined },
      }),
    ).rejects.toMatchObject({ code: "failed-precondition" });
  } finally {
    await client.close();
  }
  // The row is written beside the order.
  await pair().tables.waitBusy(id, 1);
  expect((await pair().tables.rows([id])).BuildSteps).toMatchObject([{ status: null, machine: "vm" }]);
  await pair().tables.cancel([id]);
});
