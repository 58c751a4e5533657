/** Whether the Nix daemon builds for us: one that does not trust its client refuses nearly every build. */
import { DaemonError } from "../../nix/daemon/error.js";
import type { BasicDerivation } from "../../nix/derivation/derivation.js";
import { byteStringFromText } from "../../nix/path/byte-string.js";
import { parseStorePath } from "../../nix/path/store-path.js";
import type { Store } from "../../nix/store/store.js";
import { BuilderError } from "../errors.js";

/** No machine has this system, so a daemon that would build it for us says that it cannot. */
const probe: BasicDerivation = {
  name: "trust-probe",
  outputs: new Map([
    ["out", { kind: "inputAddressed", path: parseStorePath("00000000000000000000000000000000-trust-probe") }],
  ]),
  inputSources: [],
  system: byteStringFromText("no-such-system"),
  builder: byteStringFromText("/no/such/builder"),
  args: [],
  env: new Map(),
};
const probePath = parseStorePath("00000000000000000000000000000000-trust-probe.drv");

/**
 * Asks the daemon; protocols before 1.35 do not say it, so a build that cannot succeed is tried. When the daemon itself
 * has trouble the question stays open, and builds will show the answer.
 *
 * @throws BuilderError `untrusted`
 */
export async function requireTrust(
  store: Pick<Store, "trust" | "buildDerivation">,
  signal: AbortSignal,
): Promise<void> {
  if (store.trust === "trusted") return;
  if (store.trust === "notTrusted") throw untrusted();
  try {
    await store.buildDerivation(probePath, probe, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DaemonError && error.code === "remote" && /not privileged/.test(error.message)) {
      throw untrusted(error);
    }
  }
}

function untrusted(cause?: DaemonError): BuilderError {
  return new BuilderError(
    "untrusted",
    "the Nix daemon does not trust this builder's user and would refuse its builds: add the user to trusted-users in nix.conf and restart the daemon",
    { cause },
  );
}
