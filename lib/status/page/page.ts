/** The live page: one HTML document without anything from elsewhere. */
import { createHash } from "node:crypto";

import { pageScript } from "./page-script.js";
import { pageStyle } from "./page-style.js";

function contentHash(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** Only our own script and style run; the page connects only to this server. */
export const livePageHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": `default-src 'none'; connect-src 'self'; script-src ${contentHash(pageScript)}; style-src ${contentHash(pageStyle)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/** The whole page. */
export const livePage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Queue runner</title>
<style>${pageStyle}</style>
</head>
<body>
<header>
<h1>Queue runner</h1><span id="state" class="pill soft" role="status">loading</span><span id="uptime" class="soft"></span>
<span class="spacer"></span><span id="note" class="bad" role="status"></span>
<nav aria-label="Data"><a href="status">JSON</a> · <a href="metrics">metrics</a></nav>
</header>
<main>
<div id="problems"></div>
<dl id="cards" class="cards"></dl>
<section aria-labelledby="machines-title"><h2 id="machines-title">Machines <small id="machine-count"></small></h2><div id="machines" class="machines"></div></section>
<section aria-labelledby="queues-title"><h2 id="queues-title">Queues <small>best first; a step's name tells why it is not running</small></h2><ul id="reasons" class="reasons"></ul><div id="queues"></div></section>
<div class="columns">
<section aria-labelledby="builds-title"><h2 id="builds-title">Builds <small>the next in the queue</small></h2><div id="builds"></div></section>
<section aria-labelledby="recent-title"><h2 id="recent-title">Recent results</h2><div id="recent"></div></section>
</div>
<section id="skipped-section" aria-labelledby="skipped-title" hidden><h2 id="skipped-title">Builds left out</h2><div id="skipped"></div></section>
<noscript><p>This page needs JavaScript; the same data is at <a href="status">status</a>.</p></noscript>
</main>
<script>${pageScript}</script>
</body>
</html>
`;
