/** The first exchange on a connection: protocol version, features, what the daemon is and whether it trusts us. */

import type { Trust } from "../../store/store.js";
import { DaemonError } from "../error.js";
import { clientMagic, newestMinor, oldestMinor, realisationWithPathFeature, serverMagic } from "./numbers.js";
import type { WireReader } from "./reader.js";
import { readStderr } from "./stderr.js";
import { WireWriter } from "./writer.js";

/** What the daemon reported about itself in the handshake. */
export interface ServerInfo {
  /** The agreed minor version of protocol 1: the smaller of the daemon's and ours. */
  readonly minor: number;
  /** What daemon and we both can. */
  readonly features: ReadonlySet<string>;
  /** For instance `2.8.0`; undefined before protocol 1.33. */
  readonly nixVersion: string | undefined;
  readonly trust: Trust;
}

/** The features we implement. */
const clientFeatures: readonly string[] = [realisationWithPathFeature];

/** Rejects with `protocol` (no daemon, or one too old), or with the daemon's reason to refuse us. */
export async function handshake(
  reader: WireReader,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<ServerInfo> {
  const writer = new WireWriter();
  await write(writer.u64(clientMagic).take());
  if ((await reader.number()) !== serverMagic) {
    throw new DaemonError("protocol", "The peer is not a nix-daemon");
  }
  const offered = await reader.number();
  if (offered >> 8 !== 1 || (offered & 0xff) < oldestMinor) {
    throw new DaemonError(
      "protocol",
      `The nix-daemon speaks protocol ${offered >> 8}.${offered & 0xff}; 1.${oldestMinor} (Nix 2.4) or newer is needed`,
    );
  }
  // Old daemons take the client's number unchecked, so it must never be higher than theirs.
  const minor = Math.min(offered & 0xff, newestMinor);
  writer.u64((1 << 8) | minor);

  let features = new Set<string>();
  if (minor >= 38) {
    writer.list(clientFeatures, (feature) => writer.text(feature));
    await write(writer.take());
    const theirs = await reader.list(() => reader.text(1024));
    features = new Set(theirs.filter((feature) => clientFeatures.includes(feature)));
  }
  // Two settings that daemons have ignored for years: CPU affinity and reserved space.
  await write(writer.u64(0).u64(0).take());
  const nixVersion = minor >= 33 ? await reader.text(1024) : undefined;
  const trustNumber = minor >= 35 ? await reader.number() : 0;
  const trust = trustNumber === 1 ? "trusted" : trustNumber === 2 ? "notTrusted" : "unknown";
  await readStderr(reader);
  return { minor, features, nixVersion, trust };
}
