/**
 * Messages to domain types and back, one file per subject. Reading is strict: an error names the field. No I/O, no state.
 */
export { completionFromWire, completionToWire, stepUpdateFromWire, stepUpdateToWire } from "./build.js";
export { basicDerivationFromWire, basicDerivationToWire } from "./derivation.js";
export { failureCauseFromHeader, failureCauseHeader, failureCauseToHeader } from "./failure-cause.js";
export { ignoredLinesFromHeader, ignoredLinesHeader } from "./ignored-lines.js";
export { joinFromWire, joinToWire, pingFromWire, pingToWire } from "./machine.js";
export { nixSupportFromWire, nixSupportToWire } from "./nix-support.js";
export { orderFromWire, orderToWire } from "./order.js";
export {
  partsFromWire,
  partsRequestFromWire,
  partsRequestToWire,
  partsToWire,
  presignedNarsFromWire,
  presignedNarsToWire,
  presignedRequestFromWire,
  presignedRequestToWire,
  uploadCompleteFromWire,
  uploadCompleteToWire,
} from "./presigned.js";
export { resourcesFromHeader, resourcesHeader, resourcesToHeader } from "./resources.js";
export { runningBuildsFromHeader, runningBuildsHeader, runningBuildsToHeader } from "./running.js";
export { parseUuid } from "./scalars.js";
export {
  contentAddressFromWire,
  contentAddressToWire,
  hashFromWire,
  hashToWire,
  narInfoFromWire,
  narInfoToWire,
  pathInfoFromWire,
  pathInfoToWire,
  storePathFromWire,
  storePathsFromWire,
  storePathToWire,
} from "./store.js";
export { traceparentHeader, traceparentOf } from "./traceparent.js";
