// Builders with tokens, behind proxies that use connections as they like. Nginx is among them where it is installed.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { GrpcProxy } from "../../support/grpc-proxy.js";
import { LyingBuilder } from "../../support/lying-builder.js";
import { findNginx, startNginx } from "../../support/nginx.js";
import { shellDerivation } from "../../support/nix.js";
import { usePair } from "../../support/pair.js";
import { testDatabase } from "../../support/test-database.js";
import { until } from "../../support/until.js";
import { buildOnEach, cancelOnEach, reserved, resumeOnEach } from "./checks.js";
import { buildRecorded, cancelRecorded } from "./recorded.js";

const nginx = findNginx();
if (nginx === undefined) process.stderr.write("nginx is not installed: no test goes through it\n");

const names = ["alone", "one", "two", "web"].filter((name) => name !== "web" || nginx !== undefined);
/** Two builders are on the connections of one proxy. */
const gateways: Readonly<Record<string, string>> = {
  alone: "perCall",
  one: "shared",
  two: "shared",
  web: "nginx",
};
const proxies: GrpcProxy[] = [];
let cutNginx = (): Promise<void> => Promise.resolve();
let folder = "";
const tokenOf = (name: string): string => `secret-of-${name}`;

const pair = usePair(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-tokens-"));
  const file = (name: string): string => join(folder, `${name}.token`);
  for (const name of [...names, "vm"]) await writeFile(file(name), tokenOf(name));
  const proxy = (connections: "perCall" | "shared") => async (upstream: string) => {
    const started = await GrpcProxy.start({ upstream, connections });
    proxies.push(started);
    return started;
  };
  return {
    databaseUrl: await testDatabase(),
    gateways: {
      perCall: proxy("perCall"),
      shared: proxy("shared"),
      ...(nginx !== undefined && {
        nginx: async (upstream: string) => {
          const started = await startNginx(nginx, upstream, { keepaliveRequests: 40, keptUpstream: 0 });
          cutNginx = () => started.cut();
          return started;
        },
      }),
    },
    runner: { tokenPaths: [...names, "vm"].map(file), bindTokensToHosts: true },
    builders: names.map((name) =>
      reserved(name, { gateway: gateways[name] ?? "", flags: ["--authorization-file", file(name)] }),
    ),
  };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("builds, logs and outputs", async () => {
  await buildOnEach(pair(), names);
});

test("a build that is cancelled ends on its machine", async () => {
  await cancelOnEach(pair(), names);
});

test("builds go on after all connections broke", async () => {
  await resumeOnEach(pair(), names, async () => {
    for (const proxy of proxies) proxy.cut();
    await cutNginx();
  });
});

test.skipIf(nginx === undefined)(
  "nginx ends a connection after some requests, and builds do not notice",
  async () => {
    // Each build takes about seven calls.
    const expressions = Array.from({ length: 20 }, (_, index) =>
      shellDerivation(
        `many-${index}`,
        `echo ${index}; echo ${index} > $out`,
        'requiredSystemFeatures = [ "web" ];',
      ),
    );
    const ids = await pair().build(...expressions);
    await pair().tables.waitFinished(ids);
    const { Builds, BuildSteps } = await pair().tables.rows(ids);
    expect(Builds.map(({ buildstatus }) => buildstatus)).toEqual(ids.map(() => 0));
    // Not one of them needed a second try.
    expect(BuildSteps.map(({ status }) => status)).toEqual(ids.map(() => 0));
  },
);

test("a token does not speak for the machine of another on the same connection", async () => {
  const system = "riscv64-linux";
  const joinAs = (name: string): Promise<LyingBuilder> =>
    LyingBuilder.join(pair().urlThrough("shared"), system, { token: tokenOf(name), hostname: name });
  await using owner = await joinAs("one");
  await using intruder = await joinAs("two");
  const [id = 0] = await pair().build(
    shellDerivation("contested", "echo > $out").replace("builtins.currentSystem", `"${system}"`),
  );
  const { buildId, drv } = await until("the order", () => [...owner.orders, ...intruder.orders][0]);
  const [mine, other] = owner.orders.length === 1 ? [owner, intruder] : [intruder, owner];
  const failed = (machineId: string) => ({
    ...{ buildId, machineId, state: "buildFailure" as const, importMs: 0, buildMs: 1, uploadMs: 0 },
    ...{ outputs: new Map(), error: undefined },
  });
  for (const machineId of [mine.machineId, other.machineId]) {
    await expect(other.client.completeBuild(failed(machineId))).rejects.toMatchObject({
      code: "failed-precondition",
    });
  }
  expect(await other.client.hasPath(drv)).toBe(true);
  const step = async () => (await pair().tables.rows([id])).BuildSteps;
  // The row is written beside the order.
  await pair().tables.waitBusy(id, 1);
  expect(await step()).toMatchObject([{ busy: expect.any(Number), machine: mine === owner ? "one" : "two" }]);
  await mine.client.completeBuild(failed(mine.machineId));
  await pair().tables.waitFinished([id]);
  expect(await step()).toMatchObject([{ busy: 0, status: 1 }]);
});

const recorded = { token: tokenOf("vm") };

test.each([
  ["directly", undefined, "success", "hello.drv"],
  ["through perCall", "perCall", "outputs", "multi.drv"],
  ["through shared", "shared", "products", "products.drv"],
  ["through nginx", "nginx", "fixed-output", "fixed.drv"],
] as const)("the recorded builder builds %s", async (_, gateway, recordedCase, drv) => {
  if (gateway === "nginx" && nginx === undefined) return;
  await buildRecorded(pair(), { ...recorded, gateway }, recordedCase, drv);
});

test("the recorded builder aborts, through a proxy that mixes calls", async () => {
  await cancelRecorded(pair(), { ...recorded, gateway: "shared" });
});
