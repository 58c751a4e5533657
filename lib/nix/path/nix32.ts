/** Nix's base 32: no `e o t u`, digits from the last byte to the first. */
import { anAmount, aText, checkArgument, someBytes } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";

const alphabet = "0123456789abcdfghijklmnpqrsvwxyz";
const letters = Buffer.from(alphabet, "latin1");
const values = new Map(Array.from(alphabet).map((letter, value) => [letter, value]));

/** Characters that `bytes` bytes take. */
export function nix32Length(bytes: number): number {
  checkArgument("nix32Length", "bytes", bytes, anAmount);
  return Math.ceil((bytes * 8) / 5);
}

/** Base-32 text of bytes. */
export function encodeNix32(bytes: Uint8Array): string {
  checkArgument("encodeNix32", "bytes", bytes, someBytes);
  const length = nix32Length(bytes.length);
  const text = Buffer.allocUnsafe(length);
  for (let k = length - 1; k >= 0; k--) {
    const bit = k * 5;
    const index = bit >> 3;
    const shift = bit & 7;
    const low = bytes[index] ?? 0;
    const high = bytes[index + 1] ?? 0;
    text[length - 1 - k] = letters[((low >> shift) | (high << (8 - shift))) & 31] ?? 0;
  }
  return text.toString("latin1");
}

/** @throws NixFormatError for foreign letters, a length no bytes have, or surplus bits that are not zero */
export function decodeNix32(text: string): Uint8Array {
  checkArgument("decodeNix32", "text", text, aText);
  const size = Math.floor((text.length * 5) / 8);
  if (nix32Length(size) !== text.length) {
    throw new NixFormatError("hash", `a base-32 text cannot have ${text.length} characters`);
  }
  const bytes = new Uint8Array(size);
  for (let position = 0; position < text.length; position++) {
    const value = values.get(text.charAt(position));
    if (value === undefined) {
      throw new NixFormatError("hash", `'${text.charAt(position)}' is not a base-32 digit of Nix`, {
        position,
      });
    }
    const bit = (text.length - 1 - position) * 5;
    const index = bit >> 3;
    const shift = bit & 7;
    if (index < size) bytes[index] = (bytes[index] ?? 0) | ((value << shift) & 0xff);
    const carry = value >> (8 - shift);
    if (carry === 0) continue;
    if (index + 1 >= size)
      throw new NixFormatError("hash", "surplus bits of a base-32 text are not zero", { position });
    bytes[index + 1] = (bytes[index + 1] ?? 0) | carry;
  }
  return bytes;
}
