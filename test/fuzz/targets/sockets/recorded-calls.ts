/** Recorded calls as inputs: one byte for the method, then the body of one side. */
import { callsOf, files, framed } from "../../../rpc/support/transcript.js";

const recorded = files.flatMap(callsOf);

/** Those that the recordings hold; the first byte of an input chooses one. */
const methods: readonly string[] = [...new Set(recorded.map(({ method }) => method))];

/** Bodies longer than this teach no more than shorter ones, and cannot be mutated as a whole. */
const longestBody = 40_000;
/** Calls of each method that are taken as seeds. */
const callsOfEach = 8;
/** Set in the first byte: the lengths of messages are made right again after the mutation, so that their contents count. */
const repaired = 0x80;

/** What builders sent, or what the runner answered. */
export function recordedBodies(side: "up" | "down"): Uint8Array[] {
  return methods.flatMap((method, index) =>
    recorded
      .filter((call) => call.method === method && call[side].length > 0)
      .map((call) => Buffer.concat(call[side].map(({ bytes }) => framed(bytes))))
      .filter((body) => body.length <= longestBody)
      .slice(0, callsOfEach)
      // Mostly the contents are broken, sometimes the frame.
      .flatMap((body) => [repaired, repaired, repaired, 0].map((bit) => [Buffer.from([index | bit]), body]))
      .map((parts) => Buffer.concat(parts)),
  );
}

/** The method that an input is for, and its body. */
export function callOf(input: Uint8Array): { readonly method: string; readonly body: Uint8Array } {
  const choice = input[0] ?? 0;
  const method = methods[(choice & ~repaired) % methods.length] ?? "";
  const body = input.subarray(1);
  return { method, body: (choice & repaired) === 0 ? body : repair(method, body) };
}

const streams: ReadonlySet<string> = new Set(["OpenTunnel", "BuildLog", "BuildResult", "FetchPaths"]);
const headSize = 5;

function repair(method: string, body: Uint8Array): Uint8Array {
  if (!streams.has(method)) return framed(body.subarray(headSize));
  const whole = Buffer.from(body);
  for (let at = 0; at + headSize <= whole.length; ) {
    const size = Math.min(whole.readUInt32BE(at + 1), whole.length - at - headSize);
    whole[at] = 0;
    whole.writeUInt32BE(size, at + 1);
    at += headSize + size;
  }
  return whole;
}
