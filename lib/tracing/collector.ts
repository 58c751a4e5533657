/** One request to an OTLP collector over HTTP, and what its answer means for the spans. */
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Secret } from "../config/secret.js";
import { errorChain, toError } from "../errors.js";

const compress = promisify(gzip);

/** Bytes of an answer that are read; what a collector has to say is short. */
const longestAnswer = 64 * 1024;

/** PEM texts that the connection is made with. */
export interface CollectorTls {
  /** Certificates that the collector's must be signed by. Default: those of Node. */
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** Where a collector is, and how to talk to it. */
export interface CollectorOptions {
  /** Complete, with the path. May hold a password, so it is not to be printed; see `printEndpoint`. */
  readonly endpoint: URL;
  /** Sent with each request. */
  readonly headers: ReadonlyMap<string, Secret>;
  /** Milliseconds for a request, until its answer is read. */
  readonly timeoutMs: number;
  readonly gzip: boolean;
  readonly tls?: CollectorTls | undefined;
}

/** What became of the spans of a request. */
export type Delivery =
  /** `rejected`: how many of them the collector did not want, and its words about that. */
  | { readonly kind: "taken"; readonly rejected: number; readonly message: string }
  /** May work later, not before `afterMs` milliseconds. */
  | { readonly kind: "later"; readonly reason: string; readonly afterMs: number }
  /** Will not work when it is tried again. */
  | { readonly kind: "refused"; readonly reason: string };

/** Answers of which OTLP says that the request is to be repeated. */
const passing: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** An endpoint without what may be secret in it. */
export function printEndpoint({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`;
}

/** A collector, with the connection that is kept open to it. */
export class Collector implements Disposable {
  readonly #options: CollectorOptions;
  readonly #agent: HttpAgent;
  readonly #request: typeof httpRequest;

  constructor(options: CollectorOptions) {
    const { endpoint, tls } = options;
    this.#options = options;
    const secure = endpoint.protocol === "https:";
    this.#request = secure ? httpsRequest : httpRequest;
    this.#agent = secure
      ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ca: tls?.ca, cert: tls?.certificate, key: tls?.key })
      : new HttpAgent({ keepAlive: true, maxSockets: 1 });
  }

  /** Sends the body of a request. Never rejects. */
  async send(body: string, signal: AbortSignal): Promise<Delivery> {
    const limit = AbortSignal.timeout(this.#options.timeoutMs);
    try {
      return deliveryOf(await this.#post(body, AbortSignal.any([signal, limit])));
    } catch (error) {
      const reason = limit.aborted ? `no answer within ${this.#options.timeoutMs} ms` : errorChain(error);
      return { kind: "later", reason, afterMs: 0 };
    }
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #post(body: string, signal: AbortSignal): Promise<Answer> {
    const { endpoint, headers, gzip: zipped } = this.#options;
    const bytes = zipped ? await compress(body) : Buffer.from(body);
    return await new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(toError(error));
      const sent: ClientRequest = this.#request(
        endpoint,
        {
          method: "POST",
          agent: this.#agent,
          signal,
          headers: {
            ...Object.fromEntries([...headers].map(([name, value]) => [name, value.reveal()])),
            "content-type": "application/json",
            "content-length": bytes.length,
            ...(zipped ? { "content-encoding": "gzip" } : {}),
          },
        },
        (response) => void readAnswer(response).then(resolve, fail),
      );
      sent.on("error", fail);
      sent.end(bytes);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

/** What is over the limit is left unread, and the connection with it. */
async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > longestAnswer) break;
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return { status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], text };
}

function deliveryOf({ status, retryAfter, text }: Answer): Delivery {
  if (status >= 200 && status < 300) return { kind: "taken", ...partialSuccess(text) };
  const reason = `the collector answered ${status}`;
  if (!passing.has(status)) return { kind: "refused", reason };
  return { kind: "later", reason, afterMs: retryDelayMs(retryAfter) };
}

function retryDelayMs(header: string | undefined): number {
  if (header === undefined) return 0;
  if (/^\d{1,6}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}

/** `ExportTracePartialSuccess`; an answer that is not understood says that all is well, as its status does. */
function partialSuccess(text: string): { readonly rejected: number; readonly message: string } {
  try {
    const { partialSuccess: partial } = JSON.parse(text) as {
      readonly partialSuccess?: { readonly rejectedSpans?: unknown; readonly errorMessage?: unknown };
    };
    const rejected = Number(partial?.rejectedSpans ?? 0);
    const message = partial?.errorMessage;
    return {
      rejected: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0,
      message: typeof message === "string" ? message.slice(0, 500) : "",
    };
  } catch {
    return { rejected: 0, message: "" };
  }
}
