// Packs a folder (the argument, or a sample) as a NAR and reads it back as a stream: chunks flow from the disk through
// the hash into the parser, and the whole archive is never in memory.
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { byteStringToText, dumpPath, HashedStream, parseNar, printHash } from "hydra-runner/nix";

const sample = await mkdtemp(`${tmpdir()}/read-nar-`);
await writeFile(`${sample}/hello`, "#!/bin/sh\necho hello\n", { mode: 0o755 });
await symlink("hello", `${sample}/hi`);

const nar = new HashedStream(dumpPath(process.argv[2] ?? sample));
for await (const event of parseNar(nar)) {
  if (event.kind === "contents" || event.kind === "endDirectory") continue;
  const path = byteStringToText(event.path) || "/";
  if (event.kind === "directory") console.log(`d          ${path}`);
  else if (event.kind === "symlink") console.log(`l          ${path} -> ${byteStringToText(event.target)}`);
  else {
    const size = String(event.size).padStart(8);
    console.log(`${event.executable ? "x" : "-"} ${size} ${path} at byte ${event.offset}`);
  }
}
console.log(`${nar.size} bytes, ${printHash(nar.finish(), "nix32")}`);
await rm(sample, { recursive: true });
