/**
 * The fields of an encoded message, without decoding them: how many there are, and where a message can be divided.
 *
 * A field of two bytes becomes an object of about a hundred, so a message is measured by its fields before it is decoded.
 */
import type { DescField, DescMessage } from "@bufbuild/protobuf";

/** What a length-delimited field holds: a message, the entry of a map, or plain bytes. */
type Nested =
  | { readonly kind: "message"; readonly type: DescMessage }
  | { readonly kind: "entry"; readonly value: Nested | undefined };

function nestedOf(field: DescField): Nested | undefined {
  if (field.fieldKind === "map") {
    return { kind: "entry", value: field.message && { kind: "message", type: field.message } };
  }
  return field.message && { kind: "message", type: field.message };
}

const known = new WeakMap<DescMessage, ReadonlyMap<number, Nested>>();

function nestedFields(type: DescMessage): ReadonlyMap<number, Nested> {
  let fields = known.get(type);
  if (fields === undefined) {
    fields = new Map(
      type.fields.flatMap((field) => {
        const nested = nestedOf(field);
        return nested === undefined ? [] : [[field.number, nested] as const];
      }),
    );
    known.set(type, fields);
  }
  return fields;
}

/** One field: its number, where its contents begin, and where it ends. */
interface Field {
  readonly number: number;
  readonly delimited: boolean;
  readonly contents: number;
  readonly end: number;
}

/** Undefined where bytes are not a field; whatever decodes the message says what is wrong. */
function fieldAt(bytes: Uint8Array, at: number): Field | undefined {
  const [key, afterKey] = varintAt(bytes, at);
  const number = Math.floor(key / 8);
  switch (key % 8) {
    case 0: {
      const [, end] = varintAt(bytes, afterKey);
      return { number, delimited: false, contents: afterKey, end };
    }
    case 1:
      return { number, delimited: false, contents: afterKey, end: afterKey + 8 };
    case 2: {
      const [length, contents] = varintAt(bytes, afterKey);
      return { number, delimited: true, contents, end: contents + length };
    }
    case 5:
      return { number, delimited: false, contents: afterKey, end: afterKey + 4 };
    default:
      return undefined;
  }
}

/** The value, and where the next byte stands. */
function varintAt(bytes: Uint8Array, start: number): readonly [number, number] {
  let value = 0;
  let scale = 1;
  for (let at = start; at < bytes.length && at < start + 10; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at + 1];
    scale *= 0x80;
  }
  return [Number.NaN, bytes.length];
}

/** Whether a message, with all messages in it, has more than `limit` fields. Stops counting there. */
export function hasMoreFields(type: DescMessage, bytes: Uint8Array, limit: number): boolean {
  const pending: { readonly nested: Nested; at: number; readonly end: number }[] = [
    { nested: { kind: "message", type }, at: 0, end: bytes.length },
  ];
  let count = 0;
  for (let frame = pending.at(-1); frame !== undefined; frame = pending.at(-1)) {
    if (frame.at >= frame.end) {
      pending.pop();
      continue;
    }
    const field = fieldAt(bytes, frame.at);
    // What is malformed is not decoded either.
    if (field === undefined || !(field.end <= frame.end)) return false;
    if (++count > limit) return true;
    frame.at = field.end;
    if (!field.delimited) continue;
    const inner =
      frame.nested.kind === "message"
        ? nestedFields(frame.nested.type).get(field.number)
        : field.number === 2
          ? frame.nested.value
          : undefined;
    if (inner !== undefined) pending.push({ nested: inner, at: field.contents, end: field.end });
  }
  return false;
}

/**
 * Divides a message between fields into parts of about `size` bytes; merged in their order they are the message again. A
 * longer field is not divided, and neither is what is malformed.
 */
export function* parts(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  let start = 0;
  for (let at = 0; at < bytes.length; ) {
    const field = fieldAt(bytes, at);
    if (field === undefined || !(field.end <= bytes.length)) break;
    at = field.end;
    if (at - start < size) continue;
    yield bytes.subarray(start, at);
    start = at;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}
