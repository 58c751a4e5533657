/**
 * A NAR that is written into a cache while it is received for the store, so that it need not be read and compressed again.
 *
 * The object is complete but for its name until it is committed: a folder has a temporary file, a bucket an upload
 * in parts that is not completed. Its bytes were decoded and hashed on the way, so it is what its key says,
 * whatever its sender wanted; whether the path is to be believed is for the caller of `commit` to decide.
 */
import { aFunction, anObject, aText, checkMembers } from "../../argument-checks.js";
import { atMost } from "../../async/index.js";
import { outputSlice, usualWindow, ZstdFraming } from "../../compression/index.js";
import type { Hash } from "../../nix/path/hash.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import { BinaryCacheError } from "../errors.js";
import { contentTypes } from "../layout.js";
import { anObjectStore, type ObjectStore } from "../objects/object-store.js";
import { FileMeter, NarInspection } from "./nar-inspection.js";
import { PieceQueue } from "./piece-queue.js";

/** `frame`: the zstd frame as it was received; `plain`: the NAR itself. */
export type StagedForm = "frame" | "plain";

/** Milliseconds that a cache may take no data before the sender is not slowed down for it any longer. */
const patienceMs = 2_000;

/** A NAR that was written, and what was seen of it on the way. */
export interface MeasuredNar {
  readonly inspection: NarInspection;
  /** Of the file. */
  readonly fileHash: Hash;
  /** Bytes. */
  readonly fileSize: number;
}

/** What a stage is made of. */
export interface NarStageOptions {
  readonly info: ValidPathInfo;
  readonly objects: ObjectStore;
  readonly key: string;
  readonly form: StagedForm;
  /** Whether to make a listing on the way. */
  readonly listing: boolean;
  /** Called once, when the stage is committed or discarded. */
  readonly onEnd: () => void;
}

/** One NAR on its way into a cache. Pass both streams through it, then commit or discard it. */
export class NarStage {
  readonly #info: ValidPathInfo;
  readonly form: StagedForm;
  readonly #onEnd: () => void;
  readonly #inspection: NarInspection;
  readonly #meter = new FileMeter();
  readonly #framing = new ZstdFraming(usualWindow);
  readonly #queue = new PieceQueue();
  readonly #abort = new AbortController();
  /** False when the object could not be written, or is not wanted any more. */
  readonly #written: Promise<boolean>;
  #received = false;
  #inspected = false;
  #ended = false;

  constructor(options: NarStageOptions) {
    checkMembers("NarStage", options, {
      info: anObject,
      objects: anObjectStore,
      key: aText,
      onEnd: aFunction,
    });
    const { info, objects, key, form, listing, onEnd } = options;
    this.#info = info;
    this.form = form;
    this.#onEnd = onEnd;
    this.#inspection = new NarInspection(info, { listing });
    this.#written = objects
      .put(key, this.#queue, {
        contentType: contentTypes.nar,
        ifAbsent: true,
        sizeHint: info.narSize,
        signal: this.#abort.signal,
      })
      .then(
        (result) => result === "written",
        () => {
          // The path is uploaded in the usual way then, which says what is wrong.
          if (!this.#ended) this.#end();
          this.#queue.fail(new Error("the staged NAR could not be written"));
          return false;
        },
      );
  }

  /** All bytes have come and are what the path info promises. */
  get complete(): boolean {
    return !this.#ended && this.#received && this.#inspected;
  }

  /** Passes the received stream on. Never throws for reasons of its own; a stream that breaks off leaves nothing. */
  async *received(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of chunks) {
        if (this.form === "frame" && !this.#ended && this.#isOneFrame(chunk)) await this.#keep(chunk);
        yield chunk;
      }
      // What is so small was decoded in TypeScript, which does not prove that every decoder reads it; nor does it cost much.
      if (this.form === "frame" && (this.#framing.frames !== 1 || this.#meter.size <= outputSlice)) return;
      this.#received = true;
    } finally {
      if (!this.#received) void this.discard();
    }
  }

  /** Passes the decoded NAR on, whatever it is: a store says itself what is wrong with it. */
  async *decoded(nar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of this.#inspection.pass(nar)) {
        if (this.form === "plain" && !this.#ended) await this.#keep(piece);
        yield piece;
      }
      this.#inspected = true;
    } catch (error) {
      // Its last bytes have been passed on by then.
      if (!(error instanceof BinaryCacheError)) throw error;
    } finally {
      if (!this.#inspected) void this.discard();
    }
  }

  /**
   * Gives the object its name. Undefined when there is no object, or another one has the name already: the path has to be
   * uploaded in the usual way.
   */
  async commit(): Promise<MeasuredNar | undefined> {
    if (!this.complete) {
      await this.discard();
      return undefined;
    }
    this.#end();
    this.#queue.end();
    if (!(await this.#written)) return undefined;
    return { inspection: this.#inspection, fileHash: this.#meter.finish(), fileSize: this.#meter.size };
  }

  /** Leaves no object behind; resolves when nothing of it is left. Does nothing once it is committed. */
  async discard(): Promise<void> {
    if (!this.#ended) {
      this.#end();
      const reason = new Error("the staged NAR is no longer needed");
      this.#queue.fail(reason);
      this.#abort.abort(reason);
    }
    await this.#written;
  }

  #end(): void {
    this.#ended = true;
    this.#onEnd();
  }

  async #keep(piece: Uint8Array): Promise<void> {
    this.#meter.add(piece);
    const room = this.#queue.push(piece);
    if (room === undefined) return;
    await atMost(room, patienceMs);
    if (!this.#queue.hasRoom) void this.discard();
  }

  /** Readers of caches agree about a single frame only, and a frame of empty blocks may be far longer than its data. */
  #isOneFrame(chunk: Uint8Array): boolean {
    const { narSize } = this.#info;
    try {
      const bytes = this.#framing.frames === 0 ? this.#framing.push(chunk) : 0;
      if (bytes === chunk.length && this.#meter.size + bytes <= narSize + narSize / 128 + outputSlice)
        return true;
    } catch {
      // The decoder says so, too.
    }
    void this.discard();
    return false;
  }
}
