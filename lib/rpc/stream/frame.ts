/** Writing gRPC messages: an envelope (flag, length) before each, and for bulk messages the field header as well. */

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

function envelope(size: number): number[] {
  return [0, (size >>> 24) & 0xff, (size >>> 16) & 0xff, (size >>> 8) & 0xff, size & 0xff];
}

/** Key of field 2, length-delimited. */
const payloadKey = 0x12;

/**
 * Everything that stands before the payload of a bulk message: envelope, then `head` (encoded fields, for example the
 * drv of the first log chunk), then the header of field 2. The payload itself follows untouched.
 */
export function bulkHead(payloadSize: number, head: Uint8Array = new Uint8Array(0)): Uint8Array {
  const length = varint(payloadSize);
  const field = [payloadKey, ...length];
  const bytes = new Uint8Array(5 + head.length + field.length);
  bytes.set(envelope(head.length + field.length + payloadSize), 0);
  bytes.set(head, 5);
  bytes.set(field, 5 + head.length);
  return bytes;
}

/** A whole message in its envelope. */
export function messageFrame(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + message.length);
  bytes.set(envelope(message.length), 0);
  bytes.set(message, 5);
  return bytes;
}
