/**
 * The live page as the server sees it: one document for every view, and the files that it loads.
 *
 * `app/` is the application that runs in the browser, a program of its own with its own `tsconfig.json`; nothing outside
 * of it imports from it. Everything it shows comes from the routes below `/api/`.
 */
import type { Reply } from "../http/http-reply.js";
import { type PageFiles, pageAssets } from "./assets.js";

/** Only files of this server run and style the page; it connects to this server alone, and no site may frame it. */
const policy = [
  "default-src 'none'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "script-src 'self'",
  "style-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/**
 * From the address of a view to the page's root. Relative, so that the page works below any path, also behind a proxy
 * that takes a part of the path away.
 */
function pathToRoot(path: string): string {
  const depth = path.split("/").length - 2;
  return depth > 0 ? "../".repeat(depth) : "./";
}

function documentText({ script, style }: PageFiles, root: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="page-root" content="${root}">
<title>Hydra queue runner</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${root}assets/${style}">
<script type="module" src="${root}assets/${script}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>This page needs JavaScript; the same data is at <a href="${root}status">status</a>.</p></noscript>
</body>
</html>
`;
}

/** The document of any view. `url` is the request's, below the base path. */
export async function pageReply(url: string): Promise<Reply> {
  const { files } = await pageAssets();
  const path = url.split("?")[0] ?? "/";
  return {
    status: 200,
    contentType: "text/html; charset=utf-8",
    body: documentText(files, pathToRoot(path)),
    headers: {
      "content-security-policy": policy,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-cache",
    },
  };
}

/** Patterns of the addresses that the page's views have; all get the same document. */
export const viewPatterns = [
  "/",
  "/machines",
  "/machines/{}",
  "/queue",
  "/builds/{}",
  "/steps/{}",
  "/steps/{}/log/{}",
  "/timeline",
  "/jobsets",
  "/uploads",
  "/problems",
] as const;
