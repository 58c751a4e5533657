/**
 * What a build says of itself in the `nix-support` folder of its outputs: products, metrics, release name, and whether
 * it "succeeded with failure".
 *
 * The files were written by the build, so nothing in them is believed: a product must lie in a store path, and what its
 * name leads to, through whatever symbolic links, must lie in the store as well.
 */
import { stat } from "node:fs/promises";
import { isStorePath, type StoreDir, type StorePath, storePathName } from "../nix/path/store-path.js";
import type { BuildProduct, NixSupport } from "../rpc/types.js";
import { type ProductLine, parseMetrics, parseProductLine, parseReleaseName, productName } from "./lines.js";
import { StorePlace } from "./store-place.js";

/** Far above any honest file; what is beyond it makes the file count as absent. */
const largestFile = 4 << 20;
/** Products or metrics of one output; the rest is dropped, since each becomes a row in a database. */
const mostEntries = 10_000;

/** Where outputs are; a `Store` is such a place. */
export interface NixSupportPlace {
  /** The logical store directory, in which product lines speak. */
  readonly storeDir: StoreDir;
  /** Where the files are. */
  readonly realStoreDir: string;
}

/**
 * Reads everything of one output. Files that are missing, too large or malformed count as absent.
 * @throws the signal's reason when it fires
 */
export async function readNixSupport(
  store: NixSupportPlace,
  outputName: string,
  output: StorePath,
  signal?: AbortSignal,
): Promise<NixSupport> {
  const place = new StorePlace(store.storeDir, store.realStoreDir, signal);
  const folder = `${output}/nix-support`;
  if ((await place.resolve(folder)) === undefined) {
    return {
      failed: false,
      releaseName: undefined,
      metrics: [],
      products: await defaultProducts(place, outputName, output),
    };
  }
  const [failed, release, metrics, products, productsFile] = await Promise.all([
    place.resolve(`${folder}/failed`),
    place.readText(`${folder}/hydra-release-name`, 1 << 10),
    place.readText(`${folder}/hydra-metrics`, largestFile),
    place.readText(`${folder}/hydra-build-products`, largestFile),
    place.resolve(`${folder}/hydra-build-products`),
  ]);
  return {
    failed: failed !== undefined,
    releaseName: release === undefined ? undefined : parseReleaseName(release),
    metrics: metrics === undefined ? [] : parseMetrics(metrics).slice(0, mostEntries),
    // A list that exists but cannot be used still speaks against the default product.
    products:
      productsFile === undefined
        ? await defaultProducts(place, outputName, output)
        : await readProducts(place, products ?? "", store.storeDir, signal),
  };
}

/** A folder is a product itself when its builder names none. */
async function defaultProducts(
  place: StorePlace,
  outputName: string,
  output: StorePath,
): Promise<BuildProduct[]> {
  const found = await place.resolve(output);
  const isDirectory = found !== undefined && (await stat(found).catch(() => undefined))?.isDirectory();
  if (isDirectory !== true) return [];
  return [
    {
      type: "nix-build",
      subtype: outputName === "out" ? "" : outputName,
      storePath: output,
      subPath: "",
      name: storePathName(output),
      defaultPath: "",
      isRegular: false,
      sha256: undefined,
      fileSize: undefined,
    },
  ];
}

async function readProducts(
  place: StorePlace,
  text: string,
  storeDir: StoreDir,
  signal: AbortSignal | undefined,
): Promise<BuildProduct[]> {
  const products: BuildProduct[] = [];
  for (const line of text.split("\n")) {
    signal?.throwIfAborted();
    const parsed = parseProductLine(line);
    const product = parsed === undefined ? undefined : await readProduct(place, parsed, storeDir);
    if (product !== undefined) products.push(product);
    if (products.length >= mostEntries) break;
  }
  return products;
}

async function readProduct(
  place: StorePlace,
  line: ProductLine,
  storeDir: StoreDir,
): Promise<BuildProduct | undefined> {
  const split = splitProductPath(storeDir, line.path);
  if (split === undefined) return undefined;
  const found = await place.resolve(`${split.storePath}/${split.subPath}`);
  if (found === undefined) return undefined;
  const contents = await place.hash(found);
  return {
    type: line.type,
    subtype: line.subtype,
    ...split,
    name: productName(split.subPath),
    defaultPath: line.entry,
    isRegular: contents !== undefined,
    sha256: contents?.sha256,
    fileSize: contents?.fileSize,
  };
}

/** Splits `/nix/store/<path>/<rest>`, dots resolved; undefined when the path leaves the store path that it names. */
export function splitProductPath(
  storeDir: StoreDir,
  path: string,
): { readonly storePath: StorePath; readonly subPath: string } | undefined {
  if (!path.startsWith(`${storeDir}/`) || path.includes("\0")) return undefined;
  const [base = "", ...rest] = path.slice(storeDir.length + 1).split("/");
  if (!isStorePath(base)) return undefined;
  const parts: string[] = [];
  for (const part of rest) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return { storePath: base, subPath: parts.join("/") };
}
