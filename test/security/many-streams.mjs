// Opens many calls at once on several connections: HTTP/2 frames that were made before, so that sending costs nothing.
// node many-streams.mjs PORT CONNECTIONS STREAMS METHOD
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const [port, connections, streams] = process.argv.slice(2, 5).map(Number);
const method = process.argv[5];

const literal = (text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
/** A header that HPACK keeps, from 62 on, the latest first. */
const kept = (name, value) => Buffer.concat([Buffer.from([0x40]), literal(name), literal(value)]);
const frame = (type, flags, stream, payload = Buffer.alloc(0)) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.set([type, flags], 3);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};

const first = Buffer.concat([
  // :method POST, :scheme http
  Buffer.from([0x83, 0x86]),
  kept(":path", `/runner.v1.RunnerService/${method}`),
  kept(":authority", "runner"),
  kept("content-type", "application/grpc"),
  kept("te", "trailers"),
]);
const next = Buffer.from([0x83, 0x86, 0x80 + 65, 0x80 + 64, 0x80 + 63, 0x80 + 62]);
const endHeaders = 4;
const opening = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
const attack = Buffer.concat(
  Array.from({ length: streams }, (_, index) =>
    frame(1, endHeaders, 2 * index + 1, index === 0 ? first : next),
  ),
);

const sockets = await Promise.all(
  Array.from({ length: connections }, async () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write(opening);
    await sleep(500);
    return socket;
  }),
);
for (const socket of sockets) socket.write(attack);
process.stdin.resume();
await new Promise((resolve) => process.stdin.once("end", resolve));
for (const socket of sockets) socket.destroy();
