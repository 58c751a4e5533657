/**
 * What a build declares about itself in the `nix-support` folder of its outputs: products, metrics, release name, and whether
 * it "succeeded with failure".
 *
 * The files were written by the build, so nothing in them is believed: a product must lie in a store path, and what its
 * name leads to, through whatever symbolic links, must lie in the store as well.
 */
import { stat } from "node:fs/promises";
import { isStorePath, type StoreDir, type StorePath, storePathName } from "../nix/path/store-path.js";
import type { BuildMetric, BuildProduct, NixSupport } from "../rpc/types.js";
import { type DroppedLine, DroppedLines } from "./dropped.js";
import { fileLines } from "./file-lines.js";
import {
  type LineResult,
  type ProductLine,
  parseMetricLine,
  parseProductLine,
  parseReleaseName,
  productName,
} from "./lines.js";
import { StorePlace } from "./store-place.js";

/** Far above any honest file, in bytes; a larger one counts as absent. */
const largestFile = 4 << 20;
const largestReleaseName = 1 << 10;
/** Products or metrics of one output; the rest is dropped, since each becomes a row in a database. */
const mostEntries = 10_000;

/** Where outputs are; a `Store` is such a place. */
export interface NixSupportPlace {
  /** The logical store directory, in which product lines speak. */
  readonly storeDir: StoreDir;
  /** Where the files are. */
  readonly realStoreDir: string;
}

/** What one output declares, and which lines of it were ignored. */
export interface NixSupportReport extends NixSupport {
  /** Lines and files that were left out, with the reason; a bounded number for each file. Empty when all counted. */
  readonly dropped: readonly DroppedLine[];
}

/**
 * Reads everything of one output. Files that are missing count as absent without a word; what is too large, malformed
 * or too much is left out and stands in `dropped`. Takes time linear in the files and pauses for other work.
 * @throws the signal's reason when it fires
 */
export async function readNixSupport(
  store: NixSupportPlace,
  outputName: string,
  output: StorePath,
  signal?: AbortSignal,
): Promise<NixSupportReport> {
  const place = new StorePlace(store.storeDir, store.realStoreDir, signal);
  const folder = `${output}/nix-support`;
  if ((await place.resolve(folder)) === undefined) {
    return {
      failed: false,
      releaseName: undefined,
      metrics: [],
      products: await defaultProducts(place, outputName, output),
      dropped: [],
    };
  }
  const failed = await place.resolve(`${folder}/failed`);
  const release = await readRelease(place, folder);
  const metrics = await readMetrics(place, folder, signal);
  const products = await readProducts(place, folder, store.storeDir, signal);
  return {
    failed: failed !== undefined,
    releaseName: release.value,
    metrics: metrics.value ?? [],
    // A list that exists but cannot be used still speaks against the default product.
    products: products.value ?? (await defaultProducts(place, outputName, output)),
    dropped: [...release.dropped, ...metrics.dropped, ...products.dropped],
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

/** The value of a file, undefined when the file does not exist; and what was dropped of it. */
interface FileReading<T> {
  readonly value: T | undefined;
  readonly dropped: readonly DroppedLine[];
}

async function readRelease(place: StorePlace, folder: string): Promise<FileReading<string>> {
  const name = "hydra-release-name";
  const dropped = new DroppedLines(name);
  const file = await place.readSmall(`${folder}/${name}`, largestReleaseName);
  let value: string | undefined;
  if (file.kind === "unusable") dropped.add(undefined, file.reason);
  if (file.kind === "bytes") {
    // Bytes that are not UTF-8 become letters that no release name has.
    value = parseReleaseName(file.bytes.toString("utf8"));
    if (value === undefined) dropped.add(undefined, "the text is not a release name");
  }
  return { value, dropped: dropped.list() };
}

/**
 * Gives each line of a file to `take`, which says why it drops one. The value is undefined only when the file is not
 * there.
 */
async function readLines<T>(
  place: StorePlace,
  folder: string,
  name: string,
  parse: (line: string) => LineResult<T>,
  take: (value: T) => Promise<string | undefined>,
  signal: AbortSignal | undefined,
): Promise<{ readonly present: boolean; readonly dropped: readonly DroppedLine[] }> {
  const dropped = new DroppedLines(name);
  const file = await place.readSmall(`${folder}/${name}`, largestFile);
  if (file.kind === "absent") return { present: false, dropped: [] };
  if (file.kind === "unusable") {
    dropped.add(undefined, file.reason);
    return { present: true, dropped: dropped.list() };
  }
  for await (const lines of fileLines(file.bytes)) {
    signal?.throwIfAborted();
    for (const { number, text } of lines) {
      if (text === undefined) {
        dropped.add(number, "not UTF-8 text");
        continue;
      }
      const result = parse(text);
      if (result.kind === "ignored") continue;
      const reason = result.kind === "dropped" ? result.reason : await take(result.value);
      if (reason !== undefined) dropped.add(number, reason);
    }
  }
  return { present: true, dropped: dropped.list() };
}

/** The last line wins per name, which keeps its first place. */
async function readMetrics(
  place: StorePlace,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<FileReading<BuildMetric[]>> {
  const metrics = new Map<string, BuildMetric>();
  const take = async (metric: BuildMetric): Promise<string | undefined> => {
    if (metrics.size >= mostEntries && !metrics.has(metric.name)) return `more than ${mostEntries} metrics`;
    metrics.set(metric.name, metric);
    return undefined;
  };
  const { present, dropped } = await readLines(place, folder, "hydra-metrics", parseMetricLine, take, signal);
  return { value: present ? [...metrics.values()] : undefined, dropped };
}

async function readProducts(
  place: StorePlace,
  folder: string,
  storeDir: StoreDir,
  signal: AbortSignal | undefined,
): Promise<FileReading<BuildProduct[]>> {
  const products: BuildProduct[] = [];
  const take = async (line: ProductLine): Promise<string | undefined> => {
    signal?.throwIfAborted();
    if (products.length >= mostEntries) return `more than ${mostEntries} products`;
    const product = await readProduct(place, line, storeDir);
    if (typeof product === "string") return product;
    products.push(product);
    return undefined;
  };
  const name = "hydra-build-products";
  const { present, dropped } = await readLines(place, folder, name, parseProductLine, take, signal);
  return { value: present ? products : undefined, dropped };
}

/** The product of a line, or why it is none. */
async function readProduct(
  place: StorePlace,
  line: ProductLine,
  storeDir: StoreDir,
): Promise<BuildProduct | string> {
  if (!line.path.startsWith("/")) return "the path is relative";
  const split = splitProductPath(storeDir, line.path);
  if (split === undefined) return "the path is not in the store";
  const found = await place.resolve(`${split.storePath}/${split.subPath}`);
  if (found === undefined) {
    return place.exhausted
      ? "too many folders and links were looked at"
      : "nothing in the store has this path";
  }
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
