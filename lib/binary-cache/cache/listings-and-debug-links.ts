/** What a binary cache publishes about the contents of a path: its listing, and where separate debug information is. */
import { mapLimited } from "../../async/index.js";
import { findDebugInfo, printDebugInfoLink } from "../../nix/nar/debug-info.js";
import { type NarListing, printListing } from "../../nix/nar/listing.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { CacheSettings } from "../cache-uri.js";
import { contentTypes, debugInfoKey, listingKey } from "../layout.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";
import type { SmallObjects } from "./small-objects.js";

const linksAtOnce = 25;

/** Writes the listing and the debug links of a path, as far as the settings ask for them. */
export class ListingsAndDebugLinks {
  readonly #objects: ObjectStore;
  readonly #settings: CacheSettings;
  readonly #smallObjects: SmallObjects;

  constructor(objects: ObjectStore, settings: CacheSettings, smallObjects: SmallObjects) {
    this.#objects = objects;
    this.#settings = settings;
    this.#smallObjects = smallObjects;
  }

  /** Whether there is anything to say. */
  get wanted(): boolean {
    return this.#settings.writeNarListing || this.#settings.writeDebugInfo;
  }

  /**
   * Writes what the settings ask for. `url` is the NAR's. What is there stays, unless `repair`. `after`: what must be there
   * before any of it has its name.
   */
  async put(
    path: StorePath,
    url: string,
    listing: NarListing,
    options: ReadOptions & { readonly repair?: boolean | undefined },
    after?: Promise<void>,
  ): Promise<void> {
    const { writeNarListing, writeDebugInfo, lsCompression } = this.#settings;
    const put = { contentType: contentTypes.json, ifAbsent: options.repair !== true, signal: options.signal };
    if (writeNarListing) {
      await this.#smallObjects.put(listingKey(path), printListing(listing), lsCompression, put, after);
    }
    if (!writeDebugInfo) return;
    await after;
    await mapLimited(findDebugInfo(listing), linksAtOnce, async ({ buildId, member }) => {
      await this.#objects.put(debugInfoKey(buildId), Buffer.from(printDebugInfoLink(url, member)), put);
    });
  }
}
