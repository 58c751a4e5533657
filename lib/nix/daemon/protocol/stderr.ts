/**
 * The messages a daemon sends while it works on a request: log text, activities, results, and at the end LAST (the
 * answer follows) or ERROR (nothing follows).
 */
import { cleanDaemonText, DaemonError } from "../error.js";
import { resultCode, stderrCode } from "./numbers.js";
import type { WireReader } from "./reader.js";

/** A number or text that describes an activity. */
export type ActivityField = bigint | string;

/** An activity of the daemon began. */
export interface ActivityStart {
  /** Opaque; built from a process id, so it can exceed what a number holds. */
  readonly id: bigint;
  readonly level: number;
  readonly type: number;
  readonly text: string;
  readonly fields: readonly ActivityField[];
  readonly parent: bigint;
}

/** What an activity reports meanwhile. */
export interface ActivityResult {
  readonly id: bigint;
  readonly type: number;
  readonly fields: readonly ActivityField[];
}

/** Receives what the daemon tells meanwhile; while a returned promise is pending nothing more is read. */
export interface StderrHandlers {
  /** A message of the daemon itself, in pieces; mostly ends in a newline. */
  message?(piece: Uint8Array, complete: boolean): void | Promise<void>;
  /** A line of a build or post-build hook, without newline, in pieces. */
  logLine?(piece: Uint8Array, complete: boolean): void | Promise<void>;
  activityStarted?(activity: ActivityStart): void;
  activityStopped?(id: bigint): void;
  /** Every result but log lines. Unknown types are passed on too. */
  activityResult?(result: ActivityResult): void;
}

/** Log lines longer than this come in several pieces. */
const logPieceSize = 1 << 20;
/** Texts of errors and activities are cut after this many bytes. */
const keptText = 256 << 10;
/** Fields of an activity or result, and hints of an error, that are kept. Nix sends a handful. */
const keptFields = 16;

/** Reads messages until LAST; rejects with a `remote` error at ERROR. */
export async function readStderr(reader: WireReader, handlers: StderrHandlers = {}): Promise<void> {
  for (;;) {
    const code = await reader.number();
    switch (code) {
      case stderrCode.last:
        return;
      case stderrCode.error:
        throw await readErrorBody(reader);
      case stderrCode.next:
        await reader.pieces(logPieceSize, (piece, complete) => handlers.message?.(piece, complete));
        break;
      case stderrCode.startActivity:
        await readStart(reader, handlers);
        break;
      case stderrCode.stopActivity: {
        const id = await reader.u64();
        handlers.activityStopped?.(id);
        break;
      }
      case stderrCode.result:
        await readResult(reader, handlers);
        break;
      case stderrCode.write:
        // Data of an obsolete operation; the text is ignored.
        await reader.clipped(0);
        break;
      default:
        throw new DaemonError("protocol", `The nix-daemon sent an unknown message 0x${code.toString(16)}`);
    }
  }
}

/** Reads what follows the ERROR code. */
export async function readErrorBody(reader: WireReader): Promise<DaemonError> {
  await reader.clipped(64);
  await reader.u64();
  await reader.clipped(64);
  const message = await reader.clipped(keptText);
  await reader.u64();
  const hints = await reader.list(async () => {
    await reader.u64();
    return reader.clipped(1024);
  }, keptFields);
  const text = cleanDaemonText(message) || cleanDaemonText(hints[0] ?? "") || "(no message)";
  return new DaemonError("remote", text);
}

async function readStart(reader: WireReader, handlers: StderrHandlers): Promise<void> {
  const activity = {
    id: await reader.u64(),
    level: await reader.number(),
    type: await reader.number(),
    text: cleanDaemonText(await reader.clipped(keptText)),
    fields: await reader.list(() => readField(reader), keptFields),
    parent: await reader.u64(),
  };
  handlers.activityStarted?.(activity);
}

async function readResult(reader: WireReader, handlers: StderrHandlers): Promise<void> {
  const id = await reader.u64();
  const type = await reader.number();
  if (type !== resultCode.buildLogLine && type !== resultCode.postBuildLogLine) {
    const fields = await reader.list(() => readField(reader), keptFields);
    handlers.activityResult?.({ id, type, fields });
    return;
  }
  const dropAll = 0;
  await reader.list(async () => {
    if (await readFieldIsText(reader)) {
      await reader.pieces(logPieceSize, (piece, complete) => handlers.logLine?.(piece, complete));
    } else {
      await reader.u64();
    }
  }, dropAll);
}

async function readField(reader: WireReader): Promise<ActivityField> {
  if (!(await readFieldIsText(reader))) return await reader.u64();
  return Buffer.from(await reader.clipped(keptText)).toString("utf8");
}

async function readFieldIsText(reader: WireReader): Promise<boolean> {
  const tag = await reader.number();
  if (tag > 1) throw new DaemonError("protocol", `The nix-daemon sent a log field of unknown type ${tag}`);
  return tag === 1;
}
