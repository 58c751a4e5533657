/** The HTTP server around the router: what clients and the system can do to it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { get, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { StatusServer, type StatusServerOptions } from "../../../lib/status/index.js";
import { deferred } from "../../support/deferred.js";
import { until } from "../../support/until.js";

async function status(port: number): Promise<number | undefined> {
  const [response] = (await once(get({ host: "127.0.0.1", port, agent: false }), "response")) as [
    IncomingMessage,
  ];
  response.resume();
  return response.statusCode;
}

it("outlives running out of descriptors", async () => {
  const library = new URL("../../../dist/lib/status/index.js", import.meta.url).href;
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
    // It may still close what it cannot take until it has noticed that they are gone.
    await until("an answer", () =>
      status(port).then(
        (answer) => answer === 200,
        () => false,
      ),
    );
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

describe("limits", () => {
  /** Sends bytes, and resolves to what came back when the server has closed the connection. */
  async function talk(port: number, text: string): Promise<string> {
    const client = connect(port, "127.0.0.1");
    client.on("error", () => undefined);
    const chunks: Buffer[] = [];
    client.on("data", (chunk: Buffer) => chunks.push(chunk));
    client.write(text);
    await once(client, "close");
    return Buffer.concat(chunks).toString("latin1");
  }
  const limited = (options: Partial<StatusServerOptions>) =>
    StatusServer.listen({
      handler: (request, response) => request.resume().on("end", () => response.end("ok")),
      listen: { port: 0, host: "127.0.0.1" },
      ...options,
    });
  const portOf = ({ address }: StatusServer): number => (typeof address === "object" ? address.port : 0);

  it("end requests whose headers or bodies do not come", async () => {
    await using server = await limited({ headersTimeoutMs: 200, requestTimeoutMs: 400 });
    const port = portOf(server);
    expect(await talk(port, "GET / HTTP/1.1\r\nHost: x\r\n")).toMatch(/^HTTP\/1.1 408 /);
    expect(await talk(port, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")).toMatch(
      /^HTTP\/1.1 408 /,
    );
  });

  it("refuse headers that are too long", async () => {
    await using server = await limited({});
    const answer = await talk(
      portOf(server),
      `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(20_000)}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1.1 431 /);
  });

  it("end connections whose clients stop reading", async () => {
    const ended = deferred();
    await using server = await limited({
      stallTimeoutMs: 300,
      handler: (_, response) => response.on("close", () => ended.resolve()).end(Buffer.alloc(64 * 2 ** 20)),
    });
    const client = connect(portOf(server), "127.0.0.1");
    client.on("error", () => undefined);
    client.pause();
    client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await ended.promise;
    let received = 0;
    client.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    client.resume();
    await once(client, "close");
    expect(received).toBeLessThan(64 * 2 ** 20);
  });

  it("close connections beyond the number", async () => {
    await using server = await limited({ maxConnections: 2 });
    const port = portOf(server);
    const held = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
    await Promise.all(held.map((client) => once(client, "connect")));
    await expect.poll(() => talk(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).toBe("");
    for (const client of held) client.destroy();
  });
});
