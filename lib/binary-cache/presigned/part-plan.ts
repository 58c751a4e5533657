/** How large the parts of an upload are, and how many a builder gets URLs for at first. */
import { anAmount, checkArgument } from "../../argument-checks.js";

const mebibyte = 2 ** 20;

/** Sizes in bytes. Compression may make a NAR longer, so there are some URLs to spare. */
export function partPlan(narSize: number): { readonly partSize: number; readonly parts: number } {
  checkArgument("partPlan", "narSize", narSize, anAmount);
  const least = Math.ceil(narSize / 9000);
  const partSize =
    least <= 10 * mebibyte
      ? 10 * mebibyte
      : Math.min(Math.ceil(least / (16 * mebibyte)) * 16 * mebibyte, 5 * 1024 * mebibyte);
  const needed = Math.max(1, Math.ceil(narSize / partSize));
  return { partSize, parts: Math.min(10_000, needed + Math.ceil(needed / 10) + 1) };
}
