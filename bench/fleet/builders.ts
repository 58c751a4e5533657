/**
 * A program: many simulated builders on connections of their own. Each asks for the version, opens its tunnel, joins,
 * and pings every `pingMs`, spread evenly.
 *
 * `builders PORT COUNT PINGMS VERSION`; tells its parent `{ joined, ms }` when all have joined, then `{ left }` for each
 * that was lost.
 */
import { randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";
import * as wire from "./wire.js";

const [port = 0, count = 0, pingMs = 0] = process.argv.slice(2, 5).map(Number);
const version = process.argv[5] ?? "";
const started = performance.now();
let joined = 0;
/** Fewer than the backlog of any listener, so that no connection waits for a repeated SYN. */
const joiningAtOnce = 200;

class SimulatedBuilder {
  readonly #id = randomUUID();
  readonly #hostname: string;
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #asked = false;
  joined = false;

  constructor(index: number) {
    this.#hostname = `builder-${index}.example.org`;
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("connect", () => this.#socket.write(wire.hello(this.#id, this.#hostname, version)));
    this.#socket.on("data", (chunk) => this.#take(chunk));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => process.send?.({ left: this.#hostname }));
  }

  ping(): void {
    if (this.joined) this.#socket.write(wire.builderPing(this.#id, Math.random() * 8));
  }

  #take(chunk: Buffer): void {
    let bytes = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (bytes.length >= wire.frameHeadBytes) {
      const size = wire.frameHeadBytes + bytes.readUIntBE(0, 3);
      if (bytes.length < size) break;
      this.#frame(
        bytes[3] ?? 0,
        bytes[4] ?? 0,
        bytes.readUInt32BE(5),
        bytes.subarray(wire.frameHeadBytes, size),
      );
      bytes = bytes.subarray(size);
    }
    this.#received = bytes.length === 0 ? bytes : Buffer.from(bytes);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    switch (type) {
      case wire.frameType.settings:
        if (!wire.isAck(flags)) this.#socket.write(wire.settingsAck);
        break;
      case wire.frameType.ping:
        if (!wire.isAck(flags)) this.#socket.write(wire.pingAck(payload));
        break;
      case wire.frameType.data:
        if (stream === wire.versionStream && !this.#asked) {
          this.#asked = true;
          this.#socket.write(wire.tunnelOf(this.#id, this.#hostname));
        } else if (stream === wire.tunnelStream && !this.joined) {
          this.joined = true;
          startNext();
          if (++joined === count) process.send?.({ joined, ms: performance.now() - started });
        }
        break;
      case wire.frameType.reset:
      case wire.frameType.goAway:
        this.#socket.destroy();
        break;
    }
  }
}

const builders: SimulatedBuilder[] = [];
function startNext(): void {
  if (builders.length < count) builders.push(new SimulatedBuilder(builders.length));
}
for (let at = 0; at < joiningAtOnce; at++) startNext();
let next = 0;
let due = 0;
let at = performance.now();
setInterval(() => {
  const now = performance.now();
  // By the clock: a late timer must not make pings rarer.
  for (due += (count * (now - at)) / pingMs; due >= 1; due--) builders[next++ % builders.length]?.ping();
  at = now;
}, 20);
process.on("disconnect", () => process.exit());
