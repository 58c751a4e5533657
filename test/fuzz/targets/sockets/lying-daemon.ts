/** A Nix daemon behind a Unix socket that shakes hands, answers the first request with given bytes, and hangs up. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  realisationWithPathFeature,
  serverMagic,
  stderrCode,
} from "../../../../lib/nix/daemon/protocol/numbers.js";
import { WireWriter } from "../../../../lib/nix/daemon/protocol/writer.js";

const trusted = 1;

/** What a daemon of that minor version of protocol 1 greets with. */
export function greeting(minor: number): Uint8Array {
  const writer = new WireWriter().u64(serverMagic).u64((1 << 8) | minor);
  if (minor >= 38) writer.list([realisationWithPathFeature], (feature) => writer.text(feature));
  if (minor >= 33) writer.text("2.30");
  if (minor >= 35) writer.u64(trusted);
  return writer.u64(stderrCode.last).take();
}

/** Bytes that a client sends before its first request. */
function handshakeSize(minor: number): number {
  const numbers = new WireWriter().u64(0).u64(0).u64(0).u64(0);
  if (minor >= 38) numbers.list([realisationWithPathFeature], (feature) => numbers.text(feature));
  return numbers.length;
}

export class LyingDaemon implements AsyncDisposable {
  /** As `NIX_REMOTE`. */
  readonly address: string;
  /** Minor version of the protocol that it claims to speak. */
  minor = 37;
  /** Said instead of the proper greeting. */
  greeting: Uint8Array | undefined;
  readonly #folder: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(folder: string, server: Server, answer: () => Uint8Array) {
    this.#folder = folder;
    this.#server = server;
    this.address = `unix://${join(folder, "socket")}`;
    server.on("connection", (socket) => this.#serve(socket, answer));
  }

  static async listen(answer: () => Uint8Array): Promise<LyingDaemon> {
    const folder = await mkdtemp(join(tmpdir(), "lying-daemon-"));
    const server = createServer({ allowHalfOpen: true });
    const daemon = new LyingDaemon(folder, server, answer);
    server.listen(join(folder, "socket"));
    await once(server, "listening");
    return daemon;
  }

  #serve(socket: Socket, answer: () => Uint8Array): void {
    const { minor, greeting: said } = this;
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    socket.once("end", () => socket.end());
    if (said !== undefined) {
      socket.resume();
      socket.end(said);
      return;
    }
    socket.write(greeting(minor));
    let received = 0;
    let answered = false;
    socket.on("data", (data) => {
      received += data.length;
      if (answered || received <= handshakeSize(minor)) return;
      answered = true;
      socket.end(answer());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
    await rm(this.#folder, { recursive: true, force: true });
  }
}
