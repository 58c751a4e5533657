/**
 * What a build declares about itself in the `nix-support` folder of its outputs: products, metrics, release name, failure.
 *
 * In this room live the text formats and the reading of them from a store, for the builder's reports and for the
 * runner's own look at outputs that exist already. It knows store paths and the report's types, nothing else.
 */

/** Lines that did not count, and how a log names them. */
export { type DroppedLine, printDroppedLine } from "./dropped.js";
/** Reading one output. */
export { type NixSupportPlace, type NixSupportReport, readNixSupport } from "./read.js";
