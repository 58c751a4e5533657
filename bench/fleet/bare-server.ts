/**
 * A program: the least that a server on `node:http2` can do for connected builders, as a yardstick. Each stream is
 * answered with a head and one small message, and what arrives is dropped. Tells its parent `{ port }`.
 */
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";

const server = createServer();
server.on("stream", (stream) => {
  stream.on("error", () => {});
  stream.respond({ ":status": 200, "content-type": "application/grpc" });
  stream.once("data", () => stream.write(Buffer.from([0, 0, 0, 0, 0])));
});
server.on("session", (session) => session.on("error", () => {}));
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  process.send?.({ port: (server.address() as AddressInfo).port });
});
process.on("disconnect", () => process.exit());
