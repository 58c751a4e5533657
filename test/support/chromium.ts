// Chromium for tests of the live page: Debian's package. Without it those tests are left out, and one line says so.
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);
if (program === undefined) process.stderr.write("page tests: no Chromium found, they are left out\n");

export const hasChromium = program !== undefined;

/** Everything is done, not only what each run of the tests shows: all views in all states, and figures for the documents. */
export const isThorough = process.env.HYDRA_PAGE_TESTS === "all";

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: program ?? "", args: ["--no-sandbox", "--disable-gpu"] });
}
