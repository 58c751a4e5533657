/**
 * Byte strings: texts of derivations are raw bytes, which need not be UTF-8.
 *
 * A `ByteString` is a JavaScript string with one character (U+0000–U+00FF) per byte. That keeps comparison, search
 * and replacement cheap and every text byte-identical when it is written again.
 */
import { aText, checkArgument, someBytes } from "../../argument-checks.js";
import type { Brand } from "../../brand.js";

/** A text with one character (U+0000 to U+00FF) per byte. */
export type ByteString = Brand<string, "ByteString">;

/** One character per byte. */
export function bytesToByteString(bytes: Uint8Array): ByteString {
  checkArgument("bytesToByteString", "bytes", bytes, someBytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

/** One byte per character. */
export function byteStringToBytes(text: ByteString): Uint8Array {
  checkArgument("byteStringToBytes", "text", text, aText);
  return Buffer.from(text, "latin1");
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) >= 0x80) return false;
  return true;
}

/** UTF-8 bytes of a text. */
export function byteStringFromText(text: string): ByteString {
  checkArgument("byteStringFromText", "text", text, aText);
  if (isAscii(text)) return text as ByteString;
  return bytesToByteString(Buffer.from(text, "utf8"));
}

/** Decodes UTF-8; invalid bytes become U+FFFD. */
export function byteStringToText(text: ByteString): string {
  checkArgument("byteStringToText", "text", text, aText);
  return isAscii(text) ? text : Buffer.from(text, "latin1").toString("utf8");
}
