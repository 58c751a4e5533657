/** Realisations in a binary cache: where the outputs of content-addressed derivations are. */
import {
  buildTraceObject,
  printBuildTrace,
  printRealisation,
  type RealisationKey,
  realisationFingerprint,
  realisationObject,
} from "../../nix/cache/realisation.js";
import type { Signer } from "../../nix/cache/signer.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { contentTypes } from "../layout.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";

/** In the layout of queue-runners and in that of newer Nix. */
export async function writeRealisation(
  objects: ObjectStore,
  signers: readonly Signer[],
  realisation: RealisationKey & { readonly outPath: StorePath },
  { signal }: ReadOptions,
): Promise<void> {
  const fingerprint = realisationFingerprint(realisation);
  const signatures = signers.map((signer) => signer.sign(fingerprint));
  const put = async (key: string, text: string): Promise<void> => {
    await objects.put(key, Buffer.from(text), { contentType: contentTypes.json, signal });
  };
  await put(realisationObject(realisation), printRealisation({ ...realisation, signatures }));
  await put(buildTraceObject(realisation), printBuildTrace({ outPath: realisation.outPath, signatures }));
}
