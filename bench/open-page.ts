/**
 * What an open page asks of a runner, without a browser: the stream of events, and the answer that its view shows, again
 * when it has changed and at most every 900 ms. A process of its own: `open-page <status URL> <view>`.
 */
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { ApiChanged, ApiTopic } from "../lib/status/api/types.js";

/** As the page has it. */
const pauseMs = 900;
const views = ["overview", "queue"] as const satisfies readonly ApiTopic[];

function ask(url: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { headers: { "accept-encoding": "gzip" } }, (response) => {
      response.resume();
      response.once("end", resolve);
      response.once("error", reject);
    }).once("error", reject);
  });
}

/** Asks until the stream ends. */
function watch(root: string, view: (typeof views)[number]): void {
  let isStale = false;
  let isAsking = false;
  const askAgain = async (): Promise<void> => {
    isStale = true;
    if (isAsking) return;
    isAsking = true;
    while (isStale) {
      isStale = false;
      await ask(new URL(`api/${view}`, root));
      await sleep(pauseMs);
    }
    isAsking = false;
  };
  get(new URL("api/events", root), (stream) => {
    let text = "";
    stream.setEncoding("utf8").on("data", (piece: string) => {
      const events = (text + piece).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const data = /^event: changed\ndata: (.*)$/.exec(event)?.[1];
        if (data !== undefined && (JSON.parse(data) as ApiChanged).topics.includes(view)) void askAgain();
      }
    });
    stream.once("end", () => process.exit(0));
  });
  void askAgain();
}

const [, , root, wanted] = process.argv;
const view = views.find((one) => one === wanted);
if (root === undefined || view === undefined) throw new Error("usage: open-page <status URL> <view>");
watch(`${root}/`, view);
