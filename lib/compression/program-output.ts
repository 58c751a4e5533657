/**
 * What a program writes, read into a few buffers again and again: a fresh one for each 64 KiB, as streams of child
 * processes have it, costs several times what reading costs.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes of a buffer: about what the kernel keeps of a socket. */
const bufferSize = 256 * 1024;
/** One that its reader has, one that waits, one that is being filled. */
const bufferCount = 3;

/** The two ends of a connection to a program that has not been started yet. */
export interface ProgramOutput {
  /** For the program's standard output; to be destroyed here once the program has it. */
  readonly writeEnd: Socket;
  /** Each piece is overwritten once the next one is asked for. To be iterated once. */
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Ends it at once, for both sides. */
  destroy(): void;
}

/** Opens a connection. @throws the system's error, when there is no room for a socket in the folder of temporary files */
export async function openProgramOutput(): Promise<ProgramOutput> {
  // Only this process can reach a socket in a folder of its own.
  const folder = await mkdtemp(join(tmpdir(), "hydra-pipe-"));
  const server = createServer({ pauseOnConnect: true });
  const pieces = new Pieces();
  try {
    const path = join(folder, "s");
    server.listen(path);
    await once(server, "listening");
    const [writeEnd, readEnd] = await Promise.all([accepted(server, pieces), pieces.open(path)]);
    return {
      writeEnd,
      pieces,
      destroy: () => {
        writeEnd.destroy();
        readEnd.destroy();
      },
    };
  } catch (error) {
    pieces.destroy();
    throw error;
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Without a descriptor for it, a connection is closed instead of being accepted, and the server says nothing. */
async function accepted(server: Server, { over }: Pieces): Promise<Socket> {
  const connection: Promise<unknown[]> = once(server, "connection", { signal: over });
  const [socket] = await connection;
  if (socket instanceof Socket) return socket;
  throw new Error("a server's connection is not a socket");
}

/** The reader's end. */
class Pieces implements AsyncIterable<Uint8Array> {
  readonly #buffers = Array.from({ length: bufferCount }, () => Buffer.allocUnsafeSlow(bufferSize));
  /** Pieces that wait, oldest first. */
  readonly #full: Uint8Array[] = [];
  readonly #over = new AbortController();
  #next = 0;
  #paused = false;
  #wake = (): void => undefined;
  #socket: Socket | undefined;

  /** Aborts when nothing comes any more. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  destroy(): void {
    this.#socket?.destroy();
  }

  async open(path: string): Promise<Socket> {
    const socket = connect({
      path,
      onread: {
        // Called once at the beginning, and after each piece for the buffer of the next.
        buffer: () => this.#buffers[this.#next++ % bufferCount] ?? Buffer.alloc(0),
        callback: (size, buffer) => {
          this.#full.push(buffer.subarray(0, size));
          this.#wake();
          this.#paused = this.#full.length === bufferCount - 1;
          return !this.#paused;
        },
      },
    });
    const over = (): void => {
      this.#over.abort();
      this.#wake();
    };
    socket.on("end", over);
    socket.on("close", over);
    this.#socket = socket;
    await once(socket, "connect");
    // The program that writes says what went wrong.
    socket.on("error", over);
    return socket;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const piece = this.#full[0];
        if (piece !== undefined) {
          yield piece;
          this.#full.shift();
          if (this.#paused) {
            this.#paused = false;
            this.#socket?.resume();
          }
        } else if (this.over.aborted) return;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.#socket?.destroy();
    }
  }
}
