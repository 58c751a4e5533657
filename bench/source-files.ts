/** Files that transfers are measured with: half random bytes, half text. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";

/** Bytes. */
export const megabyte = 1_000_000;

/** Words in no order that a compressor could know beforehand. */
function text(size: number, salt: string): Buffer {
  const lines: string[] = [];
  for (let n = 0, length = 0; length < size; n++) {
    const line = `${createHash("md5")
      .update(`${salt}${n >> 3}`)
      .digest("hex")} is the name of line ${n}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join("").slice(0, size));
}

/** Writes `count` files named 0, 1, … that have `size` bytes together. */
export async function writeSource(folder: string, size: number, count: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const block = Math.min(megabyte, Math.ceil(size / count / 2));
  const words = text(block, "words");
  for (let n = 0; n < count; n++) {
    const file = await open(join(folder, `${n}`), "w");
    for (let left = size / count; left > 0; left -= 2 * block) {
      await file.appendFile(randomBytes(block));
      await file.appendFile(words);
    }
    await file.close();
  }
}
