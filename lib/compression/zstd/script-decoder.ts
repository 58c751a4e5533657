/**
 * Decodes zstd in TypeScript, block by block: for versions of Node without zstd, where a program would hold back what
 * has come. The work for a piece of input is bounded by that input and its block's limit, so hostile data cannot hold
 * up the event loop.
 */
import { CompressionError } from "../errors.js";
import { Turns } from "../turns.js";
import { decodeBlock, FrameState } from "./block.js";
import { type BlockBytes, corrupt } from "./entropy.js";
import {
  type BlockHeader,
  type FrameHeader,
  frameMagic,
  headerLength,
  isSkippable,
  largestBlock,
  readBlockHeader,
  readFrameHeader,
} from "./frame-header.js";
import { History } from "./history.js";
import { PullReader } from "./pull-reader.js";

/**
 * Yields what each block stands for as soon as the block has come.
 *
 * @throws CompressionError (`truncated`, `corrupt`); whatever `source` throws
 */
export async function* decodeInScript(
  source: AsyncIterable<Uint8Array>,
  maxWindow: number,
): AsyncGenerator<Uint8Array> {
  const input = new PullReader(source);
  const block = newBlock();
  const turns = new Turns();
  try {
    let frames = 0;
    for (; !(await input.atEnd()); frames++) {
      const magic = (await input.exactly(4)).readUInt32LE(0);
      if (magic === frameMagic) yield* decodeFrame(input, block, turns, maxWindow);
      else if (isSkippable(magic)) await input.skip((await input.exactly(4)).readUInt32LE(0));
      else throw corrupt("the data is not in zstd format");
    }
    if (frames === 0) throw new CompressionError("truncated", "zstd: no data");
  } finally {
    input.cancel();
  }
}

/** Room for the payload of one block, and for reading a few bytes past its end. */
function newBlock(): BlockBytes {
  const bytes = new Uint8Array(largestBlock + 16);
  return { bytes, view: new DataView(bytes.buffer) };
}

async function* decodeFrame(
  input: PullReader,
  block: BlockBytes,
  turns: Turns,
  maxWindow: number,
): AsyncGenerator<Uint8Array> {
  const descriptor = (await input.exactly(1)).readUInt8(0);
  const header = readFrameHeader(descriptor, await input.exactly(headerLength(descriptor)), maxWindow);
  const history = new History(header.window, header.blockLimit);
  const state = new FrameState();
  let produced = 0;
  for (let last = false; !last; ) {
    const next = readBlockHeader(await input.exactly(3), header);
    last = next.last;
    await input.into(block.bytes, next.payload);
    history.beginBlock(next.kind === "compressed" ? header.blockLimit : next.size);
    decodeInto(history, block, next, state, header);
    const output = history.block();
    produced += output.length;
    if (output.length > 0) yield output;
    await turns.share();
  }
  // Decoders need not check it, and this one would be slow at it.
  if (header.hasChecksum) await input.skip(4);
  if (header.contentSize !== undefined && header.contentSize !== produced) {
    throw corrupt("a frame is not as long as it says");
  }
}

function decodeInto(
  history: History,
  block: BlockBytes,
  { kind, size }: BlockHeader,
  state: FrameState,
  frame: FrameHeader,
): void {
  switch (kind) {
    case "raw":
      history.append(block.bytes, 0, size);
      break;
    case "repeated":
      history.repeat(block.bytes[0] ?? 0, size);
      break;
    case "compressed":
      decodeBlock(block, size, state, history, frame.blockLimit);
      break;
  }
}
