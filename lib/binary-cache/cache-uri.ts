/** Store URIs of binary caches and their parameters. */
import { aText, checkArgument } from "../argument-checks.js";
import { type CompressionMethod, compressionMethods, parseCompressionMethod } from "../compression/index.js";
import { BinaryCacheError } from "./errors.js";

/** What a cache URI says, with Nix's defaults for what it leaves out; from `parseCacheUri`. */
export interface CacheSettings {
  readonly kind: "s3" | "file";
  /** Bucket, or absolute folder. */
  readonly place: string;
  readonly compression: CompressionMethod;
  readonly compressionLevel: number | undefined;
  readonly parallelCompression: boolean;
  readonly narinfoCompression: CompressionMethod;
  readonly lsCompression: CompressionMethod;
  readonly logCompression: CompressionMethod;
  readonly writeNarListing: boolean;
  readonly writeDebugInfo: boolean;
  /** Files of signing keys. */
  readonly secretKeyFiles: readonly string[];
  /** Logical store folder that the cache must belong to, when the URI says one. */
  readonly storeDir: string | undefined;
  /** Written into a new `nix-cache-info` when given. */
  readonly wantMassQuery: boolean | undefined;
  readonly priority: number | undefined;
  readonly region: string;
  readonly scheme: "http" | "https";
  /** Full URL without trailing slash. */
  readonly endpoint: string | undefined;
  readonly profile: string | undefined;
  readonly virtualHosts: boolean;
  readonly storageClass: string | undefined;
  /** Bytes: up to this size one request, above it parts of this size. */
  readonly bufferSize: number;
  /** Seconds. */
  readonly presignedUrlExpiry: number;
  /** Read what builders have uploaded before it is signed, instead of believing the hash that they report. */
  readonly verifyUploads: boolean;
  /** Seconds for which a narinfo that was seen is believed to be there. */
  readonly presenceTtl: number;
}

/** Parameters that Nix knows and that mean nothing here. */
const harmless = new Set([
  "trusted",
  "path-info-cache-size",
  "local-nar-cache",
  "system-features",
  "multipart-upload",
  "multipart-threshold",
]);

class Parameters {
  readonly #values = new Map<string, string>();
  readonly #used = new Set<string>();

  constructor(query: string) {
    // Last one wins.
    for (const [name, value] of new URLSearchParams(query)) this.#values.set(name, value.trim());
  }

  /** The first of the names that is given. */
  text(...names: readonly string[]): string | undefined {
    let found: string | undefined;
    for (const name of names) {
      this.#used.add(name);
      found ??= this.#values.get(name);
    }
    return found === "" ? undefined : found;
  }

  /** Whether it is given without a value. */
  isEmpty(name: string): boolean {
    return this.#values.get(name) === "";
  }

  flag(fallback: boolean, ...names: readonly string[]): boolean {
    const text = this.text(...names)?.toLowerCase();
    if (text === undefined) return fallback;
    if (["1", "true", "yes"].includes(text)) return true;
    if (["0", "false", "no"].includes(text)) return false;
    throw fault(`'${names[0]}' must be true or false, not '${text}'`);
  }

  integer(minimum: number, maximum: number, ...names: readonly string[]): number | undefined {
    const text = this.text(...names);
    if (text === undefined) return undefined;
    const value = /^-?\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= minimum && value <= maximum)) {
      throw fault(`'${names[0]}' must be a number from ${minimum} to ${maximum}, not '${text}'`);
    }
    return value;
  }

  method(fallback: CompressionMethod, name: string): CompressionMethod {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const method = parseCompressionMethod(text);
    // Peers know these five names only.
    if (method === undefined || method === "gzip") {
      const known = compressionMethods.filter((each) => each !== "gzip").join(", ");
      throw fault(`'${name}' must be one of ${known}, not '${text}'`);
    }
    return method;
  }

  /** Names that were asked for. */
  known(): string[] {
    return [...this.#used];
  }

  unknown(): string[] {
    return [...this.#values.keys()].filter((name) => !this.#used.has(name) && !harmless.has(name));
  }
}

/** What S3 ever took, and what servers beside Amazon's take: letters, digits, dots, hyphens, underscores. */
const bucketName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;

function fault(what: string, cause?: unknown): BinaryCacheError {
  return new BinaryCacheError("settings", `binary cache URI: ${what}`, { cause });
}

/**
 * Reads `s3://<bucket>?…` and `file://<folder>?…`. Upper and lower case are kept, names of parameters are Nix's and the
 * queue-runner's.
 *
 * @throws BinaryCacheError (`settings`) naming the parameter
 */
export function parseCacheUri(uri: string): {
  readonly settings: CacheSettings;
  /** What was ignored, for the log. */
  readonly warnings: readonly string[];
  /** Parameters that mean nothing, in Nix or here; also among the warnings. */
  readonly unknownParameters: readonly string[];
  /** All parameters that mean something, for "did you mean". */
  readonly knownParameters: readonly string[];
} {
  checkArgument("parseCacheUri", "uri", uri, aText);
  const trimmed = uri.trim();
  const queryAt = trimmed.indexOf("?");
  const base = queryAt < 0 ? trimmed : trimmed.slice(0, queryAt);
  const parameters = new Parameters(queryAt < 0 ? "" : trimmed.slice(queryAt + 1));
  const warnings: string[] = [];
  let kind: "s3" | "file";
  let place: string;
  if (base.toLowerCase().startsWith("s3://")) {
    kind = "s3";
    const rest = base.slice(5);
    const slash = rest.indexOf("/");
    place = slash < 0 ? rest : rest.slice(0, slash);
    if (place === "") throw fault("the bucket is missing: write s3://<bucket>");
    // What stands in front of an @ may be a password.
    if (!bucketName.test(place)) throw fault(`'${place.replace(/^.*@/, "…@")}' is not the name of a bucket`);
    if (slash >= 0 && rest.slice(slash) !== "/") warnings.push("the path after the bucket is ignored");
  } else if (base.startsWith("file:///") || base.startsWith("/")) {
    kind = "file";
    place = decodePath(base.replace(/^file:\/\//, "")).replace(/(.)\/+$/, "$1");
  } else throw fault("it must begin with s3:// or file:///");

  const scheme = parameters.text("scheme") ?? "https";
  if (scheme !== "http" && scheme !== "https") throw fault(`'scheme' must be http or https, not '${scheme}'`);
  const style = parameters.text("addressing-style") ?? "auto";
  if (!["auto", "path", "virtual"].includes(style)) {
    throw fault(`'addressing-style' must be auto, path or virtual, not '${style}'`);
  }
  const one = parameters.text("secret-key");
  const more = parameters.text("secret-keys")?.split(",") ?? [];
  for (const name of ["secret-key", "secret-keys"]) {
    if (parameters.isEmpty(name))
      warnings.push(`parameter '${name}' is empty, so it names no key to sign with`);
  }
  const wantMassQuery = parameters.text("want-mass-query");
  const settings: CacheSettings = {
    kind,
    place,
    compression: parameters.method("xz", "compression"),
    compressionLevel: parameters.integer(-(2 ** 31), 2 ** 31 - 1, "compression-level"),
    parallelCompression: parameters.flag(false, "parallel-compression"),
    narinfoCompression: parameters.method("none", "narinfo-compression"),
    lsCompression: parameters.method("none", "ls-compression"),
    logCompression: parameters.method("none", "log-compression"),
    writeNarListing: parameters.flag(false, "write-nar-listing"),
    writeDebugInfo: parameters.flag(false, "write-debug-info", "index-debug-info"),
    secretKeyFiles: [...(one === undefined ? [] : [one]), ...more.map((path) => path.trim())].filter(
      (path) => path !== "",
    ),
    storeDir: parameters.text("store"),
    wantMassQuery: wantMassQuery === undefined ? undefined : parameters.flag(false, "want-mass-query"),
    priority: parameters.integer(0, 2 ** 31 - 1, "priority"),
    region: parameters.text("region", "aws-region") ?? "us-east-1",
    scheme,
    endpoint: readEndpoint(parameters.text("endpoint"), scheme),
    profile: parameters.text("profile"),
    virtualHosts: style === "virtual",
    storageClass: parameters.text("storage-class"),
    bufferSize: parameters.integer(5 << 20, 5 * 2 ** 30, "buffer-size", "multipart-chunk-size") ?? 8 << 20,
    presignedUrlExpiry: parameters.integer(60, 86_400, "presigned-url-expiry") ?? 3600,
    verifyUploads: parameters.flag(false, "verify-uploads"),
    presenceTtl: parameters.integer(0, 2 ** 31 - 1, "presence-ttl") ?? 3600,
  };
  for (const name of parameters.unknown()) warnings.push(`parameter '${name}' is not known and ignored`);
  if (kind === "file") {
    for (const name of ["narinfo-compression", "ls-compression", "log-compression"] as const) {
      const method = {
        "narinfo-compression": settings.narinfoCompression,
        "ls-compression": settings.lsCompression,
        "log-compression": settings.logCompression,
      }[name];
      if (method !== "none") warnings.push(`parameter '${name}' means nothing for a folder and is ignored`);
    }
  }
  return {
    settings,
    warnings,
    unknownParameters: parameters.unknown(),
    knownParameters: [...parameters.known(), ...harmless],
  };
}

function decodePath(text: string): string {
  let path: string;
  try {
    path = decodeURIComponent(text);
  } catch (cause) {
    throw fault(`'${text}' has a % that is not followed by two hexadecimal digits; write %25 for a %`, cause);
  }
  if (path.includes("\0")) throw fault("a path cannot hold a NUL");
  return path;
}

/** With or without `http://` in front. */
function readEndpoint(text: string | undefined, scheme: string): string | undefined {
  if (text === undefined) return undefined;
  const full = /^https?:\/\//i.test(text) ? text : `${scheme}://${text}`;
  if (!URL.canParse(full)) throw fault(`'endpoint' is not a URL: '${text}'`);
  return full.replace(/\/+$/, "");
}
