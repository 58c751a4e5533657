/** A TCP relay that notes the HTTP/2 frames a client sends. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export const frameTypes = { data: 0, headers: 1, reset: 3 } as const;
export const endStream = 0x1;

/** What a client says before its first frame. */
const prefaceLength = 24;

export class FrameTap {
  readonly frames: Frame[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(targetPort: number) {
    this.#server = createServer((client) => {
      const target = connect(targetPort, "::1");
      for (const socket of [client, target]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
      }
      let pending = Buffer.alloc(0);
      let begun = false;
      client.on("data", (chunk: Buffer) => {
        pending = Buffer.concat([pending, chunk]);
        if (!begun) {
          if (pending.length < prefaceLength) return;
          pending = pending.subarray(prefaceLength);
          begun = true;
        }
        while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
          const end = 9 + pending.readUIntBE(0, 3);
          this.frames.push({
            type: pending[3] ?? 0,
            flags: pending[4] ?? 0,
            stream: pending.readUInt32BE(5) & 0x7fffffff,
            payload: pending.subarray(9, end),
          });
          pending = pending.subarray(end);
        }
      });
      client.pipe(target).pipe(client);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "::1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
