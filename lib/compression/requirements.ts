/** Programs that a method needs on this machine. */
import { checkArgument } from "../argument-checks.js";
import { hasProgram } from "./child-codec.js";
import { aCompressionMethod, type CompressionMethod } from "./method.js";
import { nativeZstd } from "./zlib-codec.js";
import { hasZstdPackage } from "./zstd/in-process.js";

/** The program that compressing with a method needs and that is not on PATH; undefined when nothing is missing. */
export async function missingProgram(method: CompressionMethod): Promise<string | undefined> {
  checkArgument("missingProgram", "method", method, aCompressionMethod);
  switch (method) {
    case "none":
    case "gzip":
    case "br":
      return undefined;
    case "xz":
    case "bzip2":
      return hasProgram(method) ? undefined : method;
    case "zstd":
      return nativeZstd !== undefined || hasProgram("zstd") || hasZstdPackage() ? undefined : "zstd";
  }
}
