/** `nix.store.derivation.v1`: a derivation whose inputs are concrete paths. */
import { create } from "@bufbuild/protobuf";
import type { BasicDerivation, DerivationOutput } from "../../nix/derivation/derivation.js";
import {
  type ByteString,
  byteStringFromText,
  byteStringToBytes,
  byteStringToText,
  bytesToByteString,
} from "../../nix/path/byte-string.js";
import { parseMethodAlgorithm } from "../../nix/path/content-address.js";
import { compareStorePaths } from "../../nix/path/store-path.js";
import * as wire from "../gen/nix/store/derivation/v1/derivation_pb.js";
import {
  type ContentAddressMethodAlgorithm,
  ContentAddressMethodAlgorithmSchema,
} from "../gen/nix/store/v1/store_pb.js";
import { bad, inField, outputName, present } from "./scalars.js";
import {
  algorithmFromWire,
  algorithmToWire,
  bytes,
  contentAddressFromWire,
  contentAddressToWire,
  methodFromWire,
  methodToWire,
  storePathFromWire,
  storePathsFromWire,
  storePathToWire,
} from "./store.js";

/** Where Nix keeps structured attributes in the environment; on the wire they have a field of their own. */
const structuredAttrsKey = byteStringFromText("__json");

type Floating = Extract<DerivationOutput, { kind: "caFloating" | "impure" }>;

function floatingFromWire(
  message: ContentAddressMethodAlgorithm,
  field: string,
): Pick<Floating, "method" | "algorithm"> {
  const method = methodFromWire(message.method, `${field}.method`);
  // Text content addresses are SHA-256 whatever the message says.
  const algorithm = method === "text" ? "sha256" : algorithmFromWire(message.algorithm, `${field}.algorithm`);
  return { method, algorithm };
}

function floatingToWire(output: Floating, field: string): ContentAddressMethodAlgorithm {
  return create(ContentAddressMethodAlgorithmSchema, {
    method: methodToWire(output.method),
    algorithm: algorithmToWire(output.algorithm, field),
  });
}

function foreignFromWire({ path, method, hash }: wire.Foreign, field: string): DerivationOutput {
  if (parseMethodAlgorithm(method) === undefined) throw bad(`${field}.method`, "is not a hash method");
  if (!/^[A-Za-z0-9+/=-]{0,1000}$/.test(hash)) throw bad(`${field}.hash`, "is not a hash");
  return { kind: "foreign", path: path && storePathFromWire(path, `${field}.path`), method, hash };
}

function outputFromWire({ output }: wire.Output, field: string): DerivationOutput {
  switch (output.case) {
    case "inputAddressed":
      return { kind: "inputAddressed", path: storePathFromWire(output.value, `${field}.input_addressed`) };
    case "caFixed":
      return { kind: "caFixed", ca: contentAddressFromWire(output.value, `${field}.ca_fixed`) };
    case "deferred":
      return { kind: "deferred" };
    case "caFloating":
      return { kind: "caFloating", ...floatingFromWire(output.value, `${field}.ca_floating`) };
    case "impure":
      return { kind: "impure", ...floatingFromWire(output.value, `${field}.impure`) };
    case "foreign":
      return foreignFromWire(output.value, `${field}.foreign`);
    case undefined:
      throw bad(field, "has no kind");
  }
}

function outputToWire(output: DerivationOutput, field: string): wire.Output["output"] {
  switch (output.kind) {
    case "inputAddressed":
      return { case: "inputAddressed", value: storePathToWire(output.path) };
    case "caFixed":
      return { case: "caFixed", value: contentAddressToWire(output.ca, field) };
    case "deferred":
      return { case: "deferred", value: create(wire.UnitSchema) };
    case "caFloating":
      return { case: "caFloating", value: floatingToWire(output, field) };
    case "impure":
      return { case: "impure", value: floatingToWire(output, field) };
    case "foreign": {
      const { method, hash } = output;
      const path = output.path && storePathToWire(output.path);
      return {
        case: "foreign",
        value: create(wire.ForeignSchema, { method, hash, ...present("path", path) }),
      };
    }
  }
}

function checkStructuredAttrs(text: string, field: string): string {
  const value: unknown = inField(field, () => JSON.parse(text));
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(field, "is not a JSON object");
  return text;
}

/** Text of a byte string, which must be UTF-8: protobuf strings cannot carry other bytes. */
function wireText(value: ByteString, field: string): string {
  const text = byteStringToText(value);
  if (byteStringFromText(text) !== value) throw bad(field, "is not valid UTF-8 and has no place on the wire");
  return text;
}

/** Structured attributes become the environment variable `__json`, byte for byte. */
export function basicDerivationFromWire(message: wire.Basic, field: string): BasicDerivation {
  const outputs = new Map<string, DerivationOutput>();
  for (const [name, output] of Object.entries(message.outputs).sort(byKey)) {
    outputs.set(outputName(name, `${field}.outputs`), outputFromWire(output, `${field}.outputs[${name}]`));
  }
  const env = new Map<ByteString, ByteString>();
  for (const [key, value] of Object.entries(message.env)) {
    env.set(byteStringFromText(key), bytesToByteString(value));
  }
  if (message.structuredAttrs !== undefined) {
    const text = checkStructuredAttrs(message.structuredAttrs, `${field}.structured_attrs`);
    env.set(structuredAttrsKey, byteStringFromText(text));
  }
  const entries = [...env].sort(byKey);
  return {
    name: message.name,
    outputs,
    inputSources: storePathsFromWire(message.inputs, `${field}.inputs`).sort(compareStorePaths),
    system: bytesToByteString(message.platform),
    builder: bytesToByteString(message.builder),
    args: message.args.map((arg) => bytesToByteString(arg)),
    env: new Map(entries),
  };
}

/**
 * @throws RpcError `invalid-argument` where the wire cannot carry the derivation: names of environment variables or
 * structured attributes that are not UTF-8, structured attributes that are not a JSON object
 */
export function basicDerivationToWire(drv: BasicDerivation): wire.Basic {
  const field = `derivation ${drv.name}`;
  const outputs: Record<string, wire.Output> = {};
  for (const [name, output] of drv.outputs) {
    outputs[mapKey(name, field)] = create(wire.OutputSchema, {
      output: outputToWire(output, `${field}: output ${name}`),
    });
  }
  const env: Record<string, Uint8Array<ArrayBuffer>> = {};
  let structuredAttrs: string | undefined;
  for (const [key, value] of drv.env) {
    if (key === structuredAttrsKey) {
      structuredAttrs = checkStructuredAttrs(wireText(value, `${field}: __json`), `${field}: __json`);
    } else {
      env[mapKey(wireText(key, `${field}: name of an environment variable`), field)] = bytes(
        byteStringToBytes(value),
      );
    }
  }
  return create(wire.BasicSchema, {
    name: drv.name,
    outputs,
    inputs: drv.inputSources.map(storePathToWire),
    platform: bytes(byteStringToBytes(drv.system)),
    builder: bytes(byteStringToBytes(drv.builder)),
    args: drv.args.map((arg) => bytes(byteStringToBytes(arg))),
    env,
    ...present("structuredAttrs", structuredAttrs),
  });
}

/** Generated code keeps maps in plain objects, where this one name would be lost. */
function mapKey(key: string, field: string): string {
  if (key === "__proto__") throw bad(field, "the name __proto__ has no place on the wire");
  return key;
}

function byKey(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  if (a[0] === b[0]) return 0;
  return a[0] < b[0] ? -1 : 1;
}
