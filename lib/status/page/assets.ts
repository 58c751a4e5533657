/** The files that the live page loads: made by the build, read at the first request, sent compressed as they lie there. */
import { readFile } from "node:fs/promises";
import { MadeOnce } from "../../async/index.js";
import { isSystemError } from "../../errors.js";
import { StatusError } from "../errors.js";
import { accepts, type Reply } from "../http/http-reply.js";
import type { StatusRequest } from "../http/status-request.js";

const types: Readonly<Record<string, string>> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

/** Names of the files that the document loads. */
export interface PageFiles {
  readonly script: string;
  readonly style: string;
}

interface Asset {
  readonly contentType: string;
  readonly plain: Uint8Array;
  readonly gzip: Uint8Array;
  readonly brotli: Uint8Array;
}

/** What the build left, as it was at the first request. */
export interface PageAssets {
  readonly files: PageFiles;
  /** The answer to a request for a file. @throws StatusError `not-found` for any other name */
  answer(name: string, request: StatusRequest): Reply;
}

/** The same folder from the sources, the compiled library and the bundled programs (`dist/bin/chunks`). */
const folders = [
  "./assets/",
  "../../../dist/lib/status/page/assets/",
  "../lib/status/page/assets/",
  "../../lib/status/page/assets/",
];

async function readManifest(): Promise<{ readonly folder: URL; readonly files: PageFiles }> {
  for (const path of folders) {
    const folder = new URL(path, import.meta.url);
    try {
      return {
        folder,
        files: JSON.parse(await readFile(new URL("manifest.json", folder), "utf8")) as PageFiles,
      };
    } catch (error) {
      // Not there; one of the others is.
      if (isSystemError(error) && error.code !== "ENOENT") throw error;
    }
  }
  throw new StatusError("internal", "the files of the live page are missing: run `npm run build`");
}

async function readAsset(folder: URL, name: string): Promise<Asset> {
  const [plain, gzip, brotli] = await Promise.all(
    ["", ".gz", ".br"].map((ending) => readFile(new URL(name + ending, folder))),
  );
  if (plain === undefined || gzip === undefined || brotli === undefined) throw new TypeError(name);
  return {
    contentType: types[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream",
    plain,
    gzip,
    brotli,
  };
}

async function readAssets(): Promise<PageAssets> {
  const { folder, files } = await readManifest();
  const assets = new Map<string, Asset>();
  for (const name of [files.script, files.style]) assets.set(name, await readAsset(folder, name));
  return {
    files,
    answer(name, request) {
      const asset = assets.get(name);
      if (asset === undefined) throw new StatusError("not-found", "Not found");
      const { contentType, plain, gzip, brotli } = asset;
      const [coding, body] = accepts(request, "br")
        ? (["br", brotli] as const)
        : accepts(request, "gzip")
          ? (["gzip", gzip] as const)
          : ([undefined, plain] as const);
      const headers: Record<string, string> = {
        // The name changes with the content.
        "cache-control": "public, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
        vary: "accept-encoding",
      };
      if (coding !== undefined) headers["content-encoding"] = coding;
      return { status: 200, contentType, body, headers };
    },
  };
}

const loaded = new MadeOnce(readAssets);

/** Read once per process. @throws StatusError `internal` when the page was not built; the next call tries again */
export function pageAssets(): Promise<PageAssets> {
  return loaded.get();
}
