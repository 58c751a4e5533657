// Packs a folder (the argument, or a sample) as a NAR and reads it back as a stream: chunks flow from the disk through
// the hash into the parser, and the whole archive is never in memory.
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { byteStringToText, createHasher, dumpPath, parseNar, printHash } from "hydra-runner/nix";

async function sampleFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "read-nar-"));
  await writeFile(join(folder, "hello"), "#!/bin/sh\necho hello\n", { mode: 0o755 });
  await symlink("hello", join(folder, "hi"));
  return folder;
}

const given = process.argv[2];
const folder = given ?? (await sampleFolder());
const hasher = createHasher("sha256");
let size = 0;

async function* hashed(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    hasher.update(piece);
    size += piece.length;
    yield piece;
  }
}

try {
  for await (const event of parseNar(hashed(dumpPath(folder)))) {
    if (event.kind === "contents" || event.kind === "endDirectory") continue;
    const path = byteStringToText(event.path) || "/";
    if (event.kind === "regular") {
      console.log(
        `${event.executable ? "x" : "-"} ${String(event.size).padStart(8)} ${path} at byte ${event.offset}`,
      );
    } else if (event.kind === "symlink") {
      console.log(`l          ${path} -> ${byteStringToText(event.target)}`);
    } else {
      console.log(`d          ${path}`);
    }
  }
  console.log(`${size} bytes, ${printHash(hasher.finish(), "nix32")}`);
} finally {
  if (given === undefined) await rm(folder, { recursive: true });
}
