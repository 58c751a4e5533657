/** Seeded mutations of byte strings: what a broken disk, a careless program or a hostile peer makes of a good input. */
import type { SeededRandom } from "../../lib/testing/simulated/seeded-random.js";

/** Longest input that is tried; time for longer ones is the subject of the tests of linear time. */
const longestInput = 1 << 16;

/** Pieces that formats of this project give a meaning to. */
const tokens: readonly Uint8Array[] = [
  '"',
  "\\",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ",",
  ";",
  "[",
  "]",
  "(",
  ")",
  "{",
  "}",
  "()",
  "[]",
  "..",
  "../..",
  "/",
  "//",
  "%",
  "%zz",
  "%2f",
  "-1",
  "0",
  "9007199254740993",
  "1e400",
  "nan",
  "inf",
  "true",
  "null",
  "/nix/store/",
  "/nix/store/00000000000000000000000000000000-x",
  "sha256:",
  "r:sha256",
  "git:sha1",
  "fixed:r:sha256:",
  "text:sha256:",
  "Derive(",
  "DrvWithVersion(",
  "nix-archive-1",
  "__proto__",
  "constructor",
  "\u2028",
  "\ud83d\ude00",
]
  .map((text) => Buffer.from(text, "utf8"))
  .concat(
    [
      [0xff],
      [0xc3],
      [0xed, 0xa0, 0x80],
      [0xff, 0xff, 0xff, 0xff],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
      [0x28, 0xb5, 0x2f, 0xfd],
    ].map((bytes) => Buffer.from(bytes)),
  );

function splice(bytes: Uint8Array, from: number, to: number, piece: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(to)]);
}

/** One change at a random place. `others` are inputs that pieces may be taken from. */
function mutateOnce(bytes: Uint8Array, random: SeededRandom, others: readonly Uint8Array[]): Uint8Array {
  const at = random.int(0, bytes.length);
  const to = Math.min(bytes.length, at + random.int(0, 1 << random.int(0, 8)));
  switch (random.int(0, 9)) {
    case 0: {
      if (bytes.length === 0) return bytes;
      const changed = Uint8Array.from(bytes);
      const index = Math.min(at, bytes.length - 1);
      changed[index] = (changed[index] ?? 0) ^ (1 << random.int(0, 7));
      return changed;
    }
    case 1: {
      if (bytes.length === 0) return bytes;
      const changed = Uint8Array.from(bytes);
      changed[Math.min(at, bytes.length - 1)] = random.int(0, 255);
      return changed;
    }
    case 2:
      return splice(bytes, at, to, new Uint8Array(0));
    case 3:
      return splice(bytes, at, at, bytes.subarray(at, to));
    case 4:
    case 5:
      return splice(bytes, at, random.chance(0.5) ? at : to, random.pick(tokens));
    case 6: {
      const other = random.pick(others);
      const start = random.int(0, other.length);
      const end = Math.min(other.length, start + random.int(0, 1 << random.int(0, 10)));
      return splice(bytes, at, random.chance(0.5) ? at : to, other.subarray(start, end));
    }
    case 7:
      return bytes.subarray(0, at);
    case 8: {
      const token = random.pick(tokens);
      const times = random.int(1, 1 << random.int(1, 11));
      return splice(bytes, at, at, Buffer.concat(Array.from({ length: times }, () => token)));
    }
    default: {
      // A number in the text becomes another one.
      const text = Buffer.from(bytes).toString("latin1");
      const numbers = [...text.matchAll(/\d+/g)];
      if (numbers.length === 0) return bytes;
      const { index, 0: digits } = random.pick(numbers);
      const value = random.pick([
        "0",
        "-1",
        "1",
        "4294967296",
        "9007199254740993",
        "9".repeat(random.int(1, 400)),
      ]);
      return splice(bytes, index, index + digits.length, Buffer.from(value));
    }
  }
}

/** A changed copy of `bytes`, at most `longestInput` bytes. */
export function mutate(bytes: Uint8Array, random: SeededRandom, others: readonly Uint8Array[]): Uint8Array {
  let changed = bytes;
  for (let left = random.int(1, 4); left > 0; left--) changed = mutateOnce(changed, random, others);
  return changed.subarray(0, longestInput);
}
