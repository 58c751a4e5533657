/** One-line error texts that fit into a report: no terminal escapes, no NUL, valid Unicode, bounded. */
import { errorChain } from "../../errors.js";
import { cleanDaemonText } from "../../nix/daemon/error.js";

const longestText = 4000;

/** Makes one printable line of any text. */
export function reportText(raw: string): string {
  // Through UTF-8, which turns halves of surrogate pairs into replacement characters.
  const line = Buffer.from(cleanDaemonText(raw), "utf8").toString("utf8").replace(/\s+/g, " ").trim();
  return line.length <= longestText ? line : `${line.slice(0, longestText)}…`;
}

/** The message of an error and of its causes, as one line. */
export function errorReport(thrown: unknown): string {
  return reportText(errorChain(thrown));
}
