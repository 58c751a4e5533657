/** Which builders may join, and what they hear of our version. */
import type { Logger } from "../../log.js";
import { type BuilderJoin, RpcError, type VersionAnswer, type VersionCheck } from "../../rpc/index.js";
import type { RunnerStore } from "../state/runner-store.js";

/** The rules of admission. The settings among them are read at each use: a reload changes them. */
export interface AdmissionRules {
  readonly store: Pick<RunnerStore, "storeDir">;
  /** What `CheckVersion` answers as our own version. */
  readonly ownVersion: () => string;
  /** Version strings of other builders that may join. */
  readonly acceptedVersions: () => readonly string[];
  /** Substituters every builder must use and announce; only with presigned uploads. */
  readonly forcedSubstituters: () => readonly string[];
  /** Whether the file of a builder's token must bear the builder's host name. */
  readonly tokensNameHosts: () => boolean;
  readonly logger: Logger;
}

/** Tells builders that keep their builds that we adopt those. Others look at `compatible` only. */
const resumeMark = "+resume";

/** @throws RpcError `failed-precondition` when the builder's store is another one */
export function answerVersion(rules: AdmissionRules, check: VersionCheck): VersionAnswer {
  const serverVersion = rules.ownVersion();
  const compatible = check.version === serverVersion || rules.acceptedVersions().includes(check.version);
  if (!compatible) {
    // Not as `hostname`: any peer may ask, under as many names as it likes, and these lines are limited together.
    rules.logger.warn("builder with an incompatible version rejected", {
      builder: check.hostname,
      version: check.version,
    });
    return { compatible, serverVersion };
  }
  const { storeDir } = rules.store;
  if (check.storeDir !== storeDir) {
    throw new RpcError(
      "failed-precondition",
      `the runner's store is ${storeDir}, the builder's is ${check.storeDir}; they must be the same`,
    );
  }
  return { compatible, serverVersion: serverVersion + resumeMark };
}

/**
 * @param token name of the file that holds the builder's token; undefined without tokens
 * @throws RpcError `invalid-argument`, `permission-denied` when the builder may not join
 */
export function admit(rules: AdmissionRules, join: BuilderJoin, token: string | undefined): void {
  requireSubstituters(rules.forcedSubstituters(), join);
  if (rules.tokensNameHosts()) requireMatchingToken(join, token);
}

function requireSubstituters(forced: readonly string[], join: BuilderJoin): void {
  if (forced.length === 0) return;
  if (!join.useSubstitutes) {
    throw new RpcError("invalid-argument", "this runner wants builders with useSubstitutes = true");
  }
  const missing = forced.filter((uri) => !join.substituters.includes(uri));
  if (missing.length > 0) {
    throw new RpcError("invalid-argument", `the builder lacks the substituters ${missing.join(", ")}`);
  }
}

/** One stolen token must not speak for every machine. */
function requireMatchingToken({ hostname }: BuilderJoin, token: string | undefined): void {
  if (token !== undefined && token.replace(/\.token$/, "") === hostname) return;
  throw new RpcError("permission-denied", `this builder's token is not that of ${hostname}`);
}
