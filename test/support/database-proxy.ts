// A proxy in front of a database that counts the transactions of those who use it. The server's own statistics will not do:
// a process that is idle tells what it did up to ten seconds later.
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

/** The letters Z and I. */
const [readyForQuery, idle] = [0x5a, 0x49];
/** Type, length (its own four bytes included), and the only byte of ReadyForQuery. */
const headerLength = 5;

/** Calls `ended` at each ReadyForQuery outside a transaction: a statement of its own, or a COMMIT, is over. */
function transactionCounter(ended: () => void): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let skip = 0;
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (;;) {
      const skipped = Math.min(skip, rest.length);
      rest = rest.subarray(skipped);
      skip -= skipped;
      if (rest.length <= headerLength) return;
      if (rest[0] === readyForQuery && rest[headerLength] === idle) ended();
      skip = 1 + rest.readUInt32BE(1);
    }
  };
}

export class DatabaseProxy implements AsyncDisposable {
  /** The database through the proxy. */
  readonly url: string;
  /** Committed since the proxy started, statements on their own and openings of connections included. */
  transactions = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, upstream: URL) {
    this.#server = server;
    const url = new URL(upstream);
    url.hostname = "127.0.0.1";
    url.port = String((server.address() as AddressInfo).port);
    this.url = url.href;
    const folder = decodeURIComponent(upstream.hostname);
    server.on("connection", (client) =>
      this.#pass(client, join(folder, `.s.PGSQL.${upstream.port || 5432}`)),
    );
  }

  /** `databaseUrl` has the folder of the server's socket as its host. */
  static async start(databaseUrl: string): Promise<DatabaseProxy> {
    const server = createServer();
    await new Promise<void>((listening) => {
      server.listen(0, "127.0.0.1", listening);
    });
    return new DatabaseProxy(server, new URL(databaseUrl));
  }

  #pass(client: Socket, path: string): void {
    const database = connect(path);
    const count = transactionCounter(() => this.transactions++);
    database.on("data", count);
    for (const [from, to] of [
      [client, database],
      [database, client],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((closed) => this.#server.close(closed));
  }
}
