/**
 * One connection to a nix-daemon.
 *
 * A connection is `idle`, `busy` with exactly one piece of work, or `closed`. Only work whose answer was read to its
 * end brings it back to idle; any error or cancellation closes it, because the daemon may send an error twice and
 * then hang up, and because what it still has to say cannot be told from the next answer.
 */

import { HydraError, toError, UsageError } from "../../errors.js";
import type { StoreDir } from "../path/store-path.js";
import type { ByteStream, CancelOptions, StoreSettings } from "../store/store.js";
import { abortError, DaemonError } from "./error.js";
import { sendFrames } from "./frames.js";
import { handshake, type ServerInfo } from "./protocol/handshake.js";
import { operationCode, realisationWithPathFeature } from "./protocol/numbers.js";
import { type Operation, requireSupport, setOptions } from "./protocol/operations.js";
import { WireReader } from "./protocol/reader.js";
import { readStderr, type StderrHandlers } from "./protocol/stderr.js";
import { decoding, type WireContext } from "./protocol/values.js";
import { WireWriter } from "./protocol/writer.js";
import type { StoreAddress } from "./store-uri.js";
import { openTransport, type Transport } from "./transport.js";

/** How long a daemon may take to greet, in milliseconds. */
const greetingPatience = 30_000;
/** Requests of a pipeline are encoded in portions of about this many bytes. */
const portionSize = 64 << 10;

/** How one operation is run. */
export interface RunOptions extends CancelOptions {
  readonly handlers?: StderrHandlers;
}

/** What a piece of work may do with the connection it holds. */
interface Wire {
  readonly reader: WireReader;
  readonly transport: Transport;
}

/** One connection; runs one operation at a time. */
export class DaemonConnection {
  readonly server: ServerInfo;
  /** Milliseconds of `performance.now`. */
  readonly openedAt = performance.now();
  readonly #transport: Transport;
  readonly #reader: WireReader;
  readonly #context: WireContext;
  #state: "idle" | "busy" | "closed" = "idle";

  private constructor(transport: Transport, reader: WireReader, server: ServerInfo, storeDir: StoreDir) {
    this.#transport = transport;
    this.#reader = reader;
    this.server = server;
    this.#context = {
      storeDir,
      minor: server.minor,
      realisationWithPath: server.features.has(realisationWithPathFeature),
    };
  }

  /** Connects, shakes hands and, when there are settings, sends them. @throws DaemonError */
  static async open(
    address: StoreAddress,
    options: CancelOptions & { readonly settings?: StoreSettings | undefined } = {},
  ): Promise<DaemonConnection> {
    const transport = await openTransport(address, options.signal);
    return DaemonConnection.over(transport, address.storeDir, options);
  }

  /** As `open`, over bytes that are there already. */
  static async over(
    transport: Transport,
    storeDir: StoreDir,
    options: CancelOptions & { readonly settings?: StoreSettings | undefined } = {},
  ): Promise<DaemonConnection> {
    const reader = new WireReader(transport);
    const { signal, settings } = options;
    const tooLate = setTimeout(() => {
      transport.destroy(
        new DaemonError("connect", "The nix-daemon accepted the connection but does not answer"),
      );
    }, greetingPatience);
    const onAbort = (): void => {
      if (signal !== undefined) transport.destroy(abortError(signal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    let connection: DaemonConnection;
    try {
      if (signal?.aborted) throw abortError(signal);
      const server = await handshake(reader, (bytes) => transport.write(bytes));
      connection = new DaemonConnection(transport, reader, server, storeDir);
    } catch (error) {
      transport.destroy();
      if (error instanceof DaemonError && error.code === "remote") {
        throw new DaemonError("connect", `The nix-daemon refused the connection: ${error.message}`, {
          cause: error,
        });
      }
      throw error;
    } finally {
      clearTimeout(tooLate);
      signal?.removeEventListener("abort", onAbort);
    }
    if (settings !== undefined) await connection.run(setOptions(settings), options);
    return connection;
  }

  get context(): WireContext {
    return this.#context;
  }

  /** Whether the next piece of work may use it: nothing is going on, and the daemon has neither hung up nor spoken. */
  get usable(): boolean {
    return this.#state === "idle" && this.#reader.buffered === 0 && !this.#transport.stirred;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** Sends one request and reads the answer. @throws DaemonError */
  run<T>(operation: Operation<T>, options: RunOptions = {}): Promise<T> {
    requireSupport(operation, this.server.minor);
    return this.exclusively(options.signal, async ({ transport }) => {
      await transport.write(this.#encode([operation]));
      return this.#answer(operation, options.handlers);
    });
  }

  /**
   * Sends many requests without waiting for answers in between; the answers come in the same order. The first one
   * that fails fails them all.
   */
  pipeline<T>(operations: readonly Operation<T>[], options: RunOptions = {}): Promise<T[]> {
    for (const operation of operations) requireSupport(operation, this.server.minor);
    return this.exclusively(options.signal, async ({ transport }) => {
      let failed = false;
      const sending = (async () => {
        const writer = new WireWriter(portionSize);
        for (const operation of operations) {
          this.#write(writer, operation);
          if (writer.length < portionSize) continue;
          await transport.write(writer.take());
          if (failed) return;
        }
        if (writer.length > 0) await transport.write(writer.take());
      })();
      const reading = (async () => {
        const answers: T[] = [];
        try {
          for (const operation of operations) answers.push(await this.#answer(operation, options.handlers));
        } catch (error) {
          failed = true;
          this.close();
          throw error;
        }
        return answers;
      })();
      const [answers, sent] = await Promise.allSettled([reading, sending]);
      if (answers.status === "rejected") throw answers.reason;
      if (sent.status === "rejected") throw sent.reason;
      return answers.value;
    });
  }

  /** A request that is followed by a framed body. The answer may come before the body is through. */
  upload<T>(operation: Operation<T>, body: ByteStream, options: RunOptions = {}): Promise<T> {
    requireSupport(operation, this.server.minor);
    return this.exclusively(options.signal, async ({ transport }) => {
      // First of all: when it throws, nothing may be under way whose failure would have no one to take it.
      const head = this.#encode([operation]);
      // The daemon may log, fail or succeed while data is still on its way, and stalls when its messages are not read.
      const progress = { answered: false };
      const answer = this.#answer(operation, options.handlers).finally(() => {
        progress.answered = true;
      });
      const sending = sendFrames(transport, body, () => progress.answered, head).catch((error: unknown) => {
        // Without the end of the body the daemon would wait indefinitely, and with it mistake half for the whole.
        this.#transport.destroy();
        throw error;
      });
      const [answered, sent] = await Promise.allSettled([answer, sending]);
      // A source that failed is the cause of whatever the daemon then said; a daemon that hung up may have said why.
      const lost = sent.status === "rejected" && isClosed(sent.reason);
      if (sent.status === "rejected" && !(lost && answered.status === "rejected")) throw sent.reason;
      if (answered.status === "rejected") throw answered.reason;
      return answered.value;
    });
  }

  /**
   * A request whose answer is followed by bytes. `first` and `question` are sent along with it, to spare round trips;
   * `prepare` gets the answer to the question, and says how the bytes are read to their end or throws.
   */
  async *download<T>(
    first: Operation<unknown>,
    question: Operation<T>,
    operation: Operation<void>,
    prepare: (answer: T) => (reader: WireReader) => ByteStream,
    options: RunOptions = {},
  ): ByteStream {
    const end = this.#begin(options.signal);
    let complete = false;
    try {
      await this.#transport.write(this.#encode([first, question, operation]));
      await this.#answer(first, options.handlers);
      const consume = prepare(await this.#answer(question, options.handlers));
      await this.#answer(operation, options.handlers);
      yield* consume(this.#reader);
      complete = true;
    } catch (error) {
      throw this.#translate(error, options.signal);
    } finally {
      // Also when the consumer breaks off: the rest of the bytes is still to come.
      if (!complete) this.close();
      end();
    }
  }

  /** Holds the connection for `work`; closes it when `work` fails or `signal` fires. */
  async exclusively<T>(signal: AbortSignal | undefined, work: (wire: Wire) => Promise<T>): Promise<T> {
    const end = this.#begin(signal);
    try {
      return await work({ reader: this.#reader, transport: this.#transport });
    } catch (error) {
      this.close();
      throw this.#translate(error, signal);
    } finally {
      end();
    }
  }

  /** Ends it at once. The daemon gives up what it does for us, builds included. */
  close(): void {
    this.#state = "closed";
    this.#transport.destroy();
  }

  #begin(signal: AbortSignal | undefined): () => void {
    if (signal?.aborted) {
      throw abortError(signal);
    }
    if (this.#state === "closed")
      throw new DaemonError("closed", "The connection to the nix-daemon is closed");
    if (this.#state === "busy")
      throw new DaemonError("protocol", "The connection to the nix-daemon is in use");
    this.#state = "busy";
    const onAbort = (): void => {
      if (signal === undefined) return;
      this.#state = "closed";
      this.#transport.destroy(abortError(signal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    return () => {
      signal?.removeEventListener("abort", onAbort);
      if (this.#state === "busy") this.#state = "idle";
    };
  }

  /** After an abort every error is a consequence of it. */
  #translate(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted && !(error instanceof DaemonError && error.code === "aborted"))
      return abortError(signal);
    return error;
  }

  #write(writer: WireWriter, operation: Operation<unknown>): void {
    writer.u64(operationCode[operation.name]);
    try {
      operation.write(writer, this.#context);
    } catch (cause) {
      if (cause instanceof HydraError) throw cause;
      const why = toError(cause).message;
      throw new UsageError(`${operation.name}: an argument is not what it must be: ${why}`, { cause });
    }
  }

  #encode(operations: readonly Operation<unknown>[]): Uint8Array {
    const writer = new WireWriter();
    for (const operation of operations) this.#write(writer, operation);
    return writer.take();
  }

  async #answer<T>(operation: Operation<T>, handlers?: StderrHandlers): Promise<T> {
    await readStderr(this.#reader, handlers);
    return decoding(operation.name, () => operation.read(this.#reader, this.#context));
  }
}

function isClosed(error: unknown): boolean {
  return error instanceof DaemonError && error.code === "closed";
}
