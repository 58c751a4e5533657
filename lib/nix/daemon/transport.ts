/** The bytes between us and a daemon: a unix socket, or the pipes of a `nix-daemon --stdio` of our own. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import type { Readable, Writable } from "node:stream";
import { backoffDelay, retry } from "../../async/index.js";
import { isSystemError } from "../../errors.js";
import { abortError, cleanDaemonText, DaemonError } from "./error.js";
import type { ByteSource } from "./protocol/reader.js";
import { SocketInput } from "./socket-input.js";
import type { StoreAddress } from "./store-uri.js";

/** A duplex stream of bytes with backpressure. Not shared: one reader and one writer at a time. */
export interface Transport extends ByteSource {
  /**
   * Writes pieces in one system call where it can. Waits while the peer is slower than we are; afterwards the pieces may be
   * overwritten.
   */
  write(...pieces: readonly Uint8Array[]): Promise<void>;
  /** Ends it at once; a read or write that waits fails with `reason`. */
  destroy(reason?: Error): void;
  /** True when the peer has closed it or has sent something: while idle, both make it useless. */
  readonly stirred: boolean;
}

/** Makes a transport of a pair of streams. `onDestroy` ends what is behind them. */
export function streamTransport(
  input: Readable,
  output: Writable,
  onDestroy: () => void = () => {},
): Transport {
  return transportOf(
    input,
    output,
    {
      take: () => {
        const chunk: unknown = input.read();
        return chunk instanceof Uint8Array && chunk.length > 0 ? chunk : undefined;
      },
      hasMore: () => input.readableLength > 0,
      onPiece: (wake) => void input.on("readable", wake),
    },
    onDestroy,
  );
}

/** Bytes that have come. */
interface Incoming {
  /** The next piece, if there is one; the one before may be overwritten from now on. */
  readonly take: () => Uint8Array | undefined;
  readonly hasMore: () => boolean;
  /** `wake` is called whenever something has come. */
  readonly onPiece: (wake: () => void) => void;
}

function transportOf(
  input: Readable,
  output: Writable,
  incoming: Incoming,
  onDestroy: () => void = () => {},
): Transport {
  let failure: Error | undefined;
  let ended = false;
  let destroyed = false;
  let wakeReader = (): void => {};
  let wakeWriter = (): void => {};
  const wake = (): void => {
    wakeReader();
    wakeWriter();
  };
  const fail = (error?: Error): void => {
    ended = true;
    failure ??= error;
    wake();
  };
  incoming.onPiece(() => wakeReader());
  input.on("end", () => fail());
  for (const stream of new Set<Readable | Writable>([input, output])) {
    stream.on("error", (error) => fail(closedError(error)));
    stream.on("close", () => fail());
  }
  const onWritten = (): void => wakeWriter();

  return {
    async read() {
      for (;;) {
        if (destroyed && failure !== undefined) throw failure;
        const chunk = incoming.take();
        if (chunk !== undefined) return chunk;
        if (failure !== undefined) throw failure;
        if (ended) return undefined;
        await new Promise<void>((resolve) => {
          wakeReader = resolve;
        });
      }
    },
    async write(...pieces) {
      if (failure !== undefined) throw failure;
      if (ended) throw closedError();
      if (pieces.length > 1) output.cork();
      for (const piece of pieces.slice(0, -1)) output.write(piece);
      const last = pieces.at(-1);
      if (last !== undefined) output.write(last, onWritten);
      if (pieces.length > 1) output.uncork();
      const mustWait = (): boolean => output.writableLength > 0 && !ended;
      while (mustWait()) {
        await new Promise<void>((resolve) => {
          wakeWriter = resolve;
        });
      }
      if (failure !== undefined) throw failure;
      if (ended) throw closedError();
    },
    destroy(reason) {
      if (destroyed) return;
      destroyed = true;
      failure ??= reason ?? closedError();
      input.destroy();
      output.destroy();
      onDestroy();
      wake();
    },
    get stirred() {
      return ended || failure !== undefined || incoming.hasMore();
    },
  };
}

function closedError(cause?: unknown): DaemonError {
  return new DaemonError("closed", "The connection to the nix-daemon was lost", { cause });
}

/** Connects to the store at `address`. @throws DaemonError `connect`, `aborted` */
export async function openTransport(address: StoreAddress, signal?: AbortSignal): Promise<Transport> {
  if (signal?.aborted) throw abortError(signal);
  return address.kind === "socket" ? connectSocket(address.socket, signal) : spawnDaemon(address);
}

/** How long a daemon may have no room for another connection, in milliseconds. */
const crowdPatience = 30_000;

async function connectSocket(path: string, signal?: AbortSignal): Promise<Transport> {
  const connected = async (): Promise<Transport> => {
    let wake = (): void => {};
    const input = new SocketInput(() => wake());
    const socket = connect({ path, onread: input.onread });
    input.attach(socket);
    try {
      await once(socket, "connect", signal === undefined ? {} : { signal });
      return transportOf(socket, socket, {
        take: () => input.take(),
        hasMore: () => input.hasMore,
        onPiece: (call) => {
          wake = call;
        },
      });
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
  try {
    return await retry(connected, {
      // Only a handful of connections may wait for a daemon to take them; one more is turned away at once.
      classify: (error) => (isSystemError(error) && error.code === "EAGAIN" ? "passing" : "final"),
      delayMs: (failures) => backoffDelay(failures, { firstMs: 6, longestMs: 250 }),
      budget: { totalMs: crowdPatience },
      signal,
    });
  } catch (cause) {
    if (signal?.aborted) throw abortError(signal);
    throw new DaemonError("connect", `Cannot connect to the nix-daemon at ${path}; is it running?`, {
      cause,
    });
  }
}

/** How long a daemon of ours may take to stop its builds after its input ended, in milliseconds. */
const stopPatience = 5000;

async function spawnDaemon(address: Extract<StoreAddress, { kind: "spawn" }>): Promise<Transport> {
  const child: ChildProcess = spawn("nix-daemon", ["--stdio", "--store", address.store], {
    env: { ...address.env, NIX_REMOTE: undefined },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const notStarted = (cause: unknown): DaemonError =>
    new DaemonError("connect", "Cannot start nix-daemon; is Nix installed?", { cause });
  const { stdin, stdout, stderr }: Partial<Pick<ChildProcess, "stdin" | "stdout" | "stderr">> = child;
  if (!stdin || !stdout || !stderr) {
    // Too many open files: there is not even a process, and its error comes a turn later.
    throw notStarted(await new Promise((resolve) => void child.once("error", resolve)));
  }
  let complaints = "";
  stderr.on("data", (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-4096);
  });
  const transport = streamTransport(stdout, stdin, () => {
    // The end of its input stops the daemon and its builds; the rest is for one that hangs.
    const timer = setTimeout(() => child.kill("SIGKILL"), stopPatience);
    timer.unref();
    child.once("exit", () => clearTimeout(timer));
  });
  child.once("error", (error) => transport.destroy(notStarted(error)));
  child.once("exit", (code, killer) => {
    const how = killer === null ? `with code ${code}` : `by ${killer}`;
    const said = cleanDaemonText(complaints);
    if (code !== 0) {
      transport.destroy(new DaemonError("closed", `nix-daemon --stdio ended ${how}${said && `: ${said}`}`));
    }
  });
  return transport;
}
