// What a socket brings through a few buffers: small ones for answers to questions, large ones for bulk data.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { SocketInput } from "../../../lib/nix/daemon/socket-input.js";

it("is small until a buffer was filled, and loses nothing when buffers become larger", async () => {
  const folder = mkdtempSync(join(tmpdir(), "socket-input-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "socket");
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  let wake = (): void => undefined;
  const input = new SocketInput(() => wake());
  const socket = connect({ path, onread: input.onread });
  input.attach(socket);
  const [daemon] = (await once(server, "connection")) as [Socket];
  const buffers = new Set<number>();
  const read = async (size: number): Promise<Buffer> => {
    const parts: Buffer[] = [];
    for (let left = size; left > 0; ) {
      const piece = input.take();
      if (piece === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (input.hasMore) resolve();
        });
        continue;
      }
      buffers.add(piece.buffer.byteLength);
      parts.push(Buffer.from(piece));
      left -= piece.length;
    }
    return Buffer.concat(parts);
  };
  for (let question = 0; question < 20; question++) {
    daemon.write(`answer ${String(question).padStart(3)}`);
    expect((await read(10)).toString()).toBe(`answer ${String(question).padStart(3)}`);
  }
  expect([...buffers]).toEqual([16 * 1024]);
  const bulk = Buffer.alloc(3 << 20);
  for (let at = 0; at < bulk.length; at += 4) bulk.writeUInt32LE(at, at);
  daemon.write(bulk);
  expect((await read(bulk.length)).equals(bulk)).toBe(true);
  expect(Math.max(...buffers)).toBe(128 * 1024);
  socket.destroy();
  daemon.destroy();
  server.close();
});
