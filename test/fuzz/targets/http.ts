/** Requests to the status API: lines, headers and bodies, through Node's own HTTP parser. */
import { once } from "node:events";
import { connect } from "node:net";
import { serve, type TestApi } from "../../status/http-client.js";
import { recordedSource, runningRecording } from "../../status/recorded-source.js";
import { assert, type FuzzTarget } from "../target.js";

const seeds = [
  "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET /status/build/12/active HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
  "GET /status/why/z478pbvgmdpvyc6lp4786fqpjikh7jqf-hello.drv?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
  'PUT /build HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 74\r\n\r\n{"drv":"/nix/store/z478pbvgmdpvyc6lp4786fqpjikh7jqf-h.drv","jobsetId":1}   ',
  'POST /build_one HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{"buildId":9}\r\n0\r\n\r\n',
  "GET /metrics HTTP/1.0\r\n\r\n",
];

/** The answers that requests may get; a fault of ours would be 500. */
const allowed =
  /^HTTP\/1\.[01] (?:100|200|304|400|401|403|404|405|408|411|413|414|415|417|421|426|431|501|503|505)\b/;

export async function httpTarget(): Promise<FuzzTarget & AsyncDisposable> {
  const { source, metrics, now } = recordedSource(runningRecording, {});
  const api: TestApi = await serve({ source, metrics, clock: () => now });
  return {
    name: "http",
    seeds: seeds.map((request) => Buffer.from(request)),
    async run(input) {
      const socket = connect(api.port, "127.0.0.1");
      socket.on("error", () => {});
      let answer = "";
      socket.on("data", (data: Buffer) => {
        if (answer.length < 64) answer += data.toString("latin1");
      });
      const closed = once(socket, "close");
      socket.end(input);
      await closed;
      assert(answer === "" || allowed.test(answer), `answered ${answer.slice(0, 60)}`);
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}
