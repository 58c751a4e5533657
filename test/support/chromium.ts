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

/** Chromium heeds the last `--disable-features` only, so those that Playwright switches off are here as well. */
const withoutFeatures = [
  // Of Playwright.
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsUpgrades",
  "HttpsFirstBalancedModeAutoEnable",
  "LensOverlay",
  "MediaRouter",
  "PaintHolding",
  "ThirdPartyStoragePartitioning",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "OptimizationHints",
  "NetworkTimeServiceQuerying",
  "AimEnabled",
  "PreconnectToSearch",
  // The browser's own buttons, which nobody sees, are pages: each window draws them, in a process of its own.
  "InitialWebUI",
  "WebUIReloadButton",
  "WebUIToolbar",
  "WebUILocationBar",
  "WebUIOmniboxPopup",
  "PreloadTopChromeWebUI",
];

export function launchChromium(): Promise<Browser> {
  const args = ["--no-sandbox", "--disable-gpu", `--disable-features=${withoutFeatures.join(",")}`];
  return chromium.launch({ executablePath: program ?? "", args });
}
