/** Unpacks NARs to disk. */

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, symlink } from "node:fs/promises";
import { aStream, aText, checkArgument } from "../../argument-checks.js";
import { type ByteString, byteStringToBytes } from "../path/byte-string.js";
import { parseNar } from "./parser.js";

/** New files only: never through a symlink, never into something that is there already. */
const createNew = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let offset = 0;
  while (offset < bytes.length) {
    offset += (await file.write(bytes, offset, bytes.length - offset)).bytesWritten;
  }
}

/**
 * Creates `destination`, which must not exist, from a stream that is one NAR and nothing else. Holds one piece of one
 * file in memory. After a failure what was written so far is left for the caller to remove.
 *
 * The parser refuses names with slashes, `..` and repeated names, so nothing is written outside of `destination`.
 *
 * @throws NixFormatError for a malformed NAR; the system's own error when writing fails
 */
export async function restoreNar(
  nar: AsyncIterable<Uint8Array>,
  destination: string,
  options?: { readonly signal?: AbortSignal },
): Promise<void> {
  checkArgument("restoreNar", "nar", nar, aStream);
  checkArgument("restoreNar", "destination", destination, aText);
  const root = Buffer.from(destination);
  const locate = (path: ByteString): Buffer =>
    path === "" ? root : Buffer.concat([root, Buffer.from("/"), byteStringToBytes(path)]);
  let file: FileHandle | undefined;
  const finishFile = async (): Promise<void> => {
    const finished = file;
    file = undefined;
    await finished?.close();
  };
  try {
    for await (const event of parseNar(nar)) {
      options?.signal?.throwIfAborted();
      if (event.kind === "contents") {
        if (file !== undefined) await writeAll(file, event.bytes);
        continue;
      }
      await finishFile();
      if (event.kind === "directory") await mkdir(locate(event.path));
      else if (event.kind === "symlink") {
        await symlink(Buffer.from(byteStringToBytes(event.target)), locate(event.path));
      } else if (event.kind === "regular") {
        file = await open(locate(event.path), createNew, event.executable ? 0o777 : 0o666);
      }
    }
  } finally {
    await finishFile();
  }
}
