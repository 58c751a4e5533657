/** TLS that fails, over real sockets, and what the operator of the builder reads. */
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { type AddressInfo, createServer, type Server } from "node:net";
import { expect, it } from "vitest";
import { errorChain } from "../../lib/errors.js";
import { defaultStoreDir } from "../../lib/nix/index.js";
import { connectRunner } from "../../lib/rpc/index.js";
import { LyingRunner } from "../fuzz/targets/sockets/lying-runner.js";
import * as values from "./support/values.js";

const servers: readonly (readonly [string, () => Server, RegExp])[] = [
  ["HTTP/2 in clear text", () => createHttp2(), /does not speak TLS there; use http:\/\//],
  ["HTTP/1.1", () => createHttp() as Server, /does not speak TLS/],
  ["another protocol", () => createServer((socket) => socket.end("220 ready\r\n")), /does not speak TLS/],
  [
    "a port that hangs up",
    () => createServer((socket) => socket.destroy()),
    /disconnected before secure TLS/,
  ],
];

it.each(servers)("https:// to %s is one line without OpenSSL's text", async (_, make, expected) => {
  const server = make();
  server.on("connection", (socket) => socket.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = connectRunner({ endpoint });
  try {
    const error: unknown = await client
      .checkVersion({
        version: "1",
        machineId: "00000000-0000-4000-8000-000000000000",
        hostname: "h",
        storeDir: defaultStoreDir,
      })
      .catch((thrown: unknown) => thrown);
    const text = errorChain(error);
    expect(text).toMatch(expected);
    expect(text).not.toMatch(/\n|ssl3|routines/);
    expect(text.split(endpoint)).toHaveLength(2);
  } finally {
    await client.close();
    server.close();
  }
});

it("an answer to a join that breaks off is no refusal of the join, which would end a builder for good", async () => {
  await using runner = await LyingRunner.listen(() => ({ body: Buffer.from([0, 0, 0, 0, 42, 10, 40]) }));
  const client = connectRunner({ endpoint: runner.endpoint });
  await expect(client.openTunnel(values.join)).rejects.toMatchObject({ code: "internal" });
  await client.close();
});
