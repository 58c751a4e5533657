/** The HTTP server around the router: what clients and the system can do to it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { get, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";

import { StatusServer } from "../../lib/status/index.js";

async function status(port: number): Promise<number | undefined> {
  const [response] = (await once(get({ host: "127.0.0.1", port, agent: false }), "response")) as [
    IncomingMessage,
  ];
  response.resume();
  return response.statusCode;
}

it("outlives running out of descriptors", async () => {
  const library = new URL("../../dist/lib/status/index.js", import.meta.url).href;
  const program = `
    import { StatusServer } from ${JSON.stringify(library)};
    const listen = { port: 0, host: "127.0.0.1" };
    const server = await StatusServer.listen({ handler: (_, response) => response.end("ok"), listen });
    console.log(server.address.port);
  `;
  const child = spawn(
    "sh",
    ["-c", 'ulimit -n 60; exec "$0" --input-type=module -e "$1"', process.execPath, program],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  try {
    const line = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
    const port = Number(line.value);
    const clients: Socket[] = [];
    for (let count = 0; count < 200; count++)
      clients.push(connect(port, "127.0.0.1").on("error", () => undefined));
    // Those it cannot take it closes, or leaves waiting.
    await Promise.all(clients.slice(0, 40).map((client) => once(client, "connect")));
    for (const client of clients) client.destroy();
    expect(await status(port)).toBe(200);
    expect(child.exitCode).toBeNull();
  } finally {
    child.kill("SIGKILL");
  }
});

it("tells the port it really has, and refuses one that is taken", async () => {
  const handler = (): void => undefined;
  await using first = await StatusServer.listen({ handler, listen: { port: 0, host: "127.0.0.1" } });
  const { address } = first;
  const port = typeof address === "object" ? address.port : 0;
  expect(port).toBeGreaterThan(0);
  await expect(StatusServer.listen({ handler, listen: { port, host: "127.0.0.1" } })).rejects.toMatchObject({
    code: "EADDRINUSE",
  });
});

it("closes while a client holds its connection open without asking", async () => {
  const server = await StatusServer.listen({
    handler: () => undefined,
    listen: { port: 0, host: "127.0.0.1" },
  });
  const { address } = server;
  const client = connect(typeof address === "object" ? address.port : 0, "127.0.0.1");
  await once(client, "connect");
  const closed = once(client, "close");
  client.resume();
  await server.close(0);
  await server.close(0);
  await closed;
});

it("lets an answer under way finish", async () => {
  let ask: (response: ServerResponse) => void = () => undefined;
  const asked = new Promise<ServerResponse>((resolve) => {
    ask = resolve;
  });
  const server = await StatusServer.listen({
    handler: (_, response) => ask(response),
    listen: { port: 0, host: "127.0.0.1" },
  });
  const { address } = server;
  const port = typeof address === "object" ? address.port : 0;
  const answered = status(port);
  const response = await asked;
  const closing = server.close(10_000);
  response.end("done");
  expect(await answered).toBe(200);
  await closing;
});
