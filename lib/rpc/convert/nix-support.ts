/** The nix-support folder of an output: products, metrics, release name. */
import { create } from "@bufbuild/protobuf";
import { RpcError } from "../errors.js";
import { RelativeStorePathSchema } from "../gen/nix/store/v1/store_pb.js";
import * as wire from "../gen/runner/v1/nix_support_pb.js";
import type { BuildMetric, BuildProduct, NixSupport } from "../types.js";
import { bad, cleanText, present, required, toBigint } from "./scalars.js";
import { storePathFromWire, storePathToWire } from "./store.js";

const sha256Hex = /^[0-9a-f]{64}$/;

/** A path below a store path, as sent. @throws RpcError when it leads out of the store path */
function subPathOf(text: string, field: string): string {
  let depth = 0;
  for (const part of text.split("/")) {
    if (part === "..") depth--;
    else if (part !== "" && part !== ".") depth++;
    if (depth < 0) throw bad(field, "leads out of its store path");
  }
  return text;
}

function productFromWire(message: wire.BuildProduct, field: string): BuildProduct {
  const path = required(message.path, `${field}.path`);
  const size = message.fileSize;
  return {
    type: cleanText(message.type),
    subtype: cleanText(message.subtype),
    storePath: storePathFromWire(path.storePath, `${field}.path.store_path`),
    subPath: subPathOf(cleanText(path.subPath), `${field}.path.sub_path`),
    name: cleanText(message.name),
    defaultPath: cleanText(message.defaultPath),
    isRegular: message.isRegular,
    sha256:
      message.sha256hash !== undefined && sha256Hex.test(message.sha256hash) ? message.sha256hash : undefined,
    fileSize: size === undefined || size > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(size),
  };
}

function productToWire(product: BuildProduct): wire.BuildProduct {
  return create(wire.BuildProductSchema, {
    path: create(RelativeStorePathSchema, {
      storePath: storePathToWire(product.storePath),
      subPath: cleanText(product.subPath),
    }),
    defaultPath: cleanText(product.defaultPath),
    type: cleanText(product.type),
    subtype: cleanText(product.subtype),
    name: cleanText(product.name),
    isRegular: product.isRegular,
    ...present("sha256hash", product.sha256),
    ...present(
      "fileSize",
      product.fileSize === undefined ? undefined : toBigint(product.fileSize, "product.fileSize"),
    ),
  });
}

/** A product that cannot be read is left out; the others are worth keeping. */
function productsFromWire(messages: readonly wire.BuildProduct[], field: string): BuildProduct[] {
  return messages.flatMap((message, index) => {
    try {
      return [productFromWire(message, `${field}[${index}]`)];
    } catch (error) {
      if (error instanceof RpcError) return [];
      throw error;
    }
  });
}

/** What an output's `nix-support` folder says. A product that cannot be used is left out. */
export function nixSupportFromWire(message: wire.NixSupport, field: string): NixSupport {
  const metrics: BuildMetric[] = Object.entries(message.metrics)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { unit, value }]) => ({
      name: cleanText(name),
      unit: unit === undefined ? undefined : cleanText(unit),
      value,
    }));
  const release = message.hydraReleaseName;
  return {
    failed: message.failed,
    releaseName: release === undefined ? undefined : cleanText(release),
    products: productsFromWire(message.products, `${field}.products`),
    metrics,
  };
}

/** What an output's `nix-support` folder says, as its message. */
export function nixSupportToWire(support: NixSupport): wire.NixSupport {
  const metrics: Record<string, wire.BuildMetric> = {};
  for (const { name, unit, value } of support.metrics) {
    if (name === "__proto__") throw bad("metric", "the name __proto__ has no place on the wire");
    metrics[cleanText(name)] = create(wire.BuildMetricSchema, {
      value,
      ...present("unit", unit && cleanText(unit)),
    });
  }
  return create(wire.NixSupportSchema, {
    failed: support.failed,
    ...present("hydraReleaseName", support.releaseName && cleanText(support.releaseName)),
    products: support.products.map(productToWire),
    metrics,
  });
}
