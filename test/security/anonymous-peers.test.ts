// Without tokens and certificates, the address is all that tells builders apart; within one address, the attempt's id is.
import { randomUUID } from "node:crypto";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, expect, test } from "vitest";
import { LyingBuilder } from "../support/lying-builder.js";
import { shellDerivation } from "../support/nix.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";

const pair = usePair(async () => ({ databaseUrl: await testDatabase(), builders: [] }));

const system = "x86_64-linux";
const sockets = new Set<Socket>();
/** Its connections come from another address than ours. */
const relay = createServer((down) => {
  const port = Number(new URL(pair().gatewayUrl).port);
  const up = connect({ host: "127.0.0.1", port, localAddress: "127.0.0.2" });
  for (const socket of [down, up]) {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => {
      down.destroy();
      up.destroy();
    });
  }
  down.pipe(up).pipe(down);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((done) => relay.close(done));
});

async function otherAddress(): Promise<string> {
  if (!relay.listening) await new Promise<void>((done) => relay.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
}

const failure = (buildId: string, machineId: string) => ({
  ...{ buildId, machineId, state: "buildFailure" as const, importMs: 0, buildMs: 1, uploadMs: 0 },
  ...{ outputs: new Map(), error: undefined },
});

test("a machine belongs to the address and the host name that joined it", async () => {
  await using owner = await LyingBuilder.join(pair().gatewayUrl, system, { hostname: "owner" });
  const { machineId } = owner;
  const refused = { code: "already-exists" };
  const joinAs = (endpoint: string, hostname: string): Promise<LyingBuilder> =>
    LyingBuilder.join(endpoint, system, { hostname, machineId });
  await expect(joinAs(await otherAddress(), "owner")).rejects.toMatchObject(refused);
  await expect(joinAs(pair().gatewayUrl, "somebody")).rejects.toMatchObject(refused);
  await pair().waitForBuilders(1);
  // As when the owner's old connection is dead and the runner does not know it yet.
  await using again = await joinAs(pair().gatewayUrl, "owner");
  expect(again.machineId).toBe(machineId);
  await pair().waitForBuilders(1);
});

test("another address does not act for a machine, though it has the attempt's id", async () => {
  await pair().waitForBuilders(0);
  await using owner = await LyingBuilder.join(pair().gatewayUrl, system, { hostname: "owner" });
  const [id = 0] = await pair().build(shellDerivation("of-one-address", "echo > $out"));
  const { buildId, drv } = await owner.order(0);
  await using intruder = await LyingBuilder.join(await otherAddress(), "riscv64-linux", {
    hostname: "owner",
  });
  const refused = { code: "failed-precondition" };
  for (const machineId of [owner.machineId, intruder.machineId]) {
    await expect(intruder.client.completeBuild(failure(buildId, machineId))).rejects.toMatchObject(refused);
  }
  expect(await intruder.client.hasPath(drv)).toBe(true);

  // From the owner's address, nothing but the attempt's id is a proof.
  await using neighbour = await LyingBuilder.join(pair().gatewayUrl, "riscv64-linux", { hostname: "next" });
  const guessed = failure(randomUUID(), owner.machineId);
  await expect(neighbour.client.completeBuild(guessed)).rejects.toMatchObject(refused);
  // The row is written beside the order.
  await pair().tables.waitBusy(id, 1);
  const { BuildSteps } = await pair().tables.rows([id]);
  expect(BuildSteps).toMatchObject([{ status: null, machine: "owner" }]);
  await neighbour.client.completeBuild(failure(buildId, owner.machineId));
  await pair().tables.waitFinished([id]);
  expect((await pair().tables.rows([id])).BuildSteps).toMatchObject([{ status: 1, machine: "owner" }]);
});
