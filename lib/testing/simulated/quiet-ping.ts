/** The ping of a machine that has nothing to do and room for everything. */
import type { BuilderPing } from "../../rpc/types.js";

/** A ping of that machine. */
export const quietPing = (machineId: string): BuilderPing => ({
  machineId,
  load1: 0,
  load5: 0,
  load15: 0,
  memUsage: 0,
  pressure: undefined,
  buildDirFreePercent: 90,
  storeFreePercent: 90,
  currentSubstitutingPathCount: 0,
  currentUploadingPathCount: 0,
  currentDownloadingPathCount: 0,
});
