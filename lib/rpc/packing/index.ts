/**
 * What the bulk streams hold: NARs one after the other in one zstd frame, and log text in one zstd frame. Nothing here
 * knows of HTTP/2; bytes come and go as async iterables, at the pace of the reader.
 */
export { decodeLog, encodeLog } from "./log.js";
export { packNars } from "./pack-nars.js";
export { type UnpackedNar, type UnpackOptions, unpackNars } from "./unpack-nars.js";
