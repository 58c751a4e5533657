/**
 * What an open page asks of a runner, without a browser: the stream of events, and the answers that the overview and the
 * queue show, each again when it has changed and at most every 900 ms. A process of its own: `open-page <status URL>`.
 */
import { get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { ApiChanged, ApiTopic } from "../lib/status/api/types.js";

/** As the page has it. */
const pauseMs = 900;
const answers: readonly { readonly path: string; readonly topic: ApiTopic }[] = [
  { path: "api/overview", topic: "overview" },
  { path: "api/queue", topic: "queue" },
];

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
function watch(root: string): void {
  const stale = new Set<ApiTopic>();
  const asking = new Set<ApiTopic>();
  const askAgain = async ({ path, topic }: (typeof answers)[number]): Promise<void> => {
    if (asking.has(topic)) return;
    asking.add(topic);
    while (stale.delete(topic)) {
      await ask(new URL(path, root));
      await sleep(pauseMs);
    }
    asking.delete(topic);
  };
  const changed = (topics: readonly ApiTopic[]): void => {
    for (const answer of answers) {
      if (!topics.includes(answer.topic)) continue;
      stale.add(answer.topic);
      void askAgain(answer);
    }
  };
  get(new URL("api/events", root), (stream) => {
    let text = "";
    stream.setEncoding("utf8").on("data", (piece: string) => {
      const events = (text + piece).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const data = /^event: changed\ndata: (.*)$/.exec(event)?.[1];
        if (data !== undefined) changed((JSON.parse(data) as ApiChanged).topics);
      }
    });
    stream.once("end", () => process.exit(0));
  });
  changed(answers.map(({ topic }) => topic));
}

const [, , root] = process.argv;
if (root === undefined) throw new Error("usage: open-page <status URL>");
watch(`${root}/`);
