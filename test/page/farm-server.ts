/** The page in front of a simulated farm: the document and files as the runner's own router sends them, answers from the simulation. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ApiChanged, ApiTopic } from "../../lib/status/api/types.js";
import { StatusRouter } from "../../lib/status/index.js";
import { idleRecording, recordedSource } from "../status/recorded-source.js";
import type { SimulatedFarm } from "./simulated-farm.js";

const topics: readonly ApiTopic[] = [
  "overview",
  "machines",
  "queue",
  "builds",
  "steps",
  "uploads",
  "problems",
  "jobsets",
];

export interface FarmServer extends AsyncDisposable {
  /** With a last slash. */
  readonly url: string;
  farm: SimulatedFarm;
  /** Sends the log of any try. */
  log: (response: ServerResponse, follows: boolean) => void;
  /** `METHOD path` of what changed something, with the token. */
  readonly actions: string[];
  /** Tells open pages that everything changed. */
  notify(): void;
  /** Answers nothing any more, until `false`. */
  silence(silent: boolean): void;
}

/** Text of the log of a try; it grows while the step runs. */
function logText(): string {
  const lines = Array.from({ length: 4000 }, (_, index) => `[${index}/4000] CC src/file-${index}.c`);
  lines[10] =
    "\u001b[31merror:\u001b[0m \u001b[1msomething\u001b[0m is \u001b[32mgreen\u001b[0m <b>not bold</b>";
  lines.push("progress 1 %\rprogress 50 %\rprogress 100 %", "make: *** [all] Error 2");
  return `${lines.join("\n")}\n`;
}

function answerOf(farm: SimulatedFarm, path: string, query: URLSearchParams): object | undefined {
  const [name = "", id = ""] = path.split("/").map(decodeURIComponent);
  switch (name) {
    case "overview":
      return farm.overview();
    case "machines":
      return id === "" ? { now: Date.now(), machines: farm.machines() } : farm.machine(id);
    case "queue":
      return farm.queue(query);
    case "builds":
      return farm.build(Number(id));
    case "steps":
      return farm.step(id);
    case "timeline":
      return farm.timeline(query);
    case "jobsets":
      return farm.jobsets();
    case "uploads":
      return farm.uploads();
    case "problems":
      return { now: Date.now(), problems: farm.problems() };
    case "search":
      return { hits: farm.search(query.get("q") ?? "") };
    default:
      return undefined;
  }
}

export async function serveFarm(farm: SimulatedFarm): Promise<FarmServer> {
  const { source, metrics } = recordedSource(idleRecording);
  const router = new StatusRouter({ source, metrics });
  const streams = new Set<ServerResponse>();
  const actions: string[] = [];
  let isSilent = false;
  const changed = (): string => {
    const { state, startedAt, leader, now, problems, counts } = served.farm.overview();
    const data: ApiChanged = {
      state,
      startedAt,
      leader,
      now,
      topics,
      problems,
      running: counts.running,
      ready: counts.ready,
      steps: counts.steps,
    };
    return `event: changed\ndata: ${JSON.stringify(data)}\n\n`;
  };
  const api = (response: ServerResponse, url: URL): void => {
    const path = url.pathname.slice("/api/".length);
    if (path === "events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(changed());
      streams.add(response);
      response.on("close", () => streams.delete(response));
    } else if (/^steps\/[^/]+\/log$/.test(path)) {
      served.log(response, url.searchParams.has("follow"));
    } else {
      const answer = answerOf(served.farm, path, url.searchParams);
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer ?? { error: "not found", code: "not-found" }));
    }
  };
  const act = (request: IncomingMessage, response: ServerResponse, url: URL): void => {
    actions.push(`${request.method} ${url.pathname} ${request.headers.authorization ?? ""}`.trim());
    const [, machine, action] = /^\/machines\/([^/]+)\/(drain|resume)$/.exec(url.pathname) ?? [];
    if (request.headers.authorization !== "Bearer secret") {
      response
        .writeHead(401, { "content-type": "application/json" })
        .end(JSON.stringify({ error: "No valid auth token" }));
      return;
    }
    if (machine !== undefined) served.farm.drain(machine, action === "drain");
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
    served.notify();
  };
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://farm");
    if (isSilent) request.socket.destroy();
    else if (request.method === "POST") act(request, response, url);
    else if (url.pathname.startsWith("/api/")) api(response, url);
    else router.handle(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const served: FarmServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    farm,
    log: (response) => {
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" }).end(logText());
    },
    actions,
    notify() {
      for (const stream of streams) stream.write(changed());
    },
    silence(silent) {
      isSilent = silent;
      if (silent) for (const stream of streams) stream.destroy();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
  return served;
}
