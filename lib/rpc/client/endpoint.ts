/** Where a runner is: `http://host:port`, `https://host:port`, `unix://<path>`, or the path of a Unix socket. */

import * as http2 from "node:http2";
import { connect as connectSocket } from "node:net";
import { aText, checkArgument } from "../../argument-checks.js";
import { UsageError } from "../../errors.js";

/** PEM texts. Used with `https` only. */
export interface ClientTlsOptions {
  /** Authorities to trust; absent: those of the system. */
  readonly ca?: string | Buffer | undefined;
  /** Our own certificate and key, for runners that ask for one. */
  readonly certificate?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  /** Name the runner's certificate must bear, if it is not the host of the endpoint. */
  readonly serverName?: string | undefined;
}

/** A runner's address that was checked. */
export interface Endpoint {
  /** For log lines. */
  readonly address: string;
  /** Scheme and authority of requests. */
  readonly origin: string;
  open(settings: http2.ClientSessionOptions): http2.ClientHttp2Session;
}

/** @throws UsageError */
export function parseEndpoint(text: string, tls: ClientTlsOptions | undefined): Endpoint {
  checkArgument("parseEndpoint", "text", text, aText);
  const path = unixPath(text);
  if (path !== undefined) {
    // The origin means nothing here, but HTTP asks for one.
    const origin = "http://localhost";
    const open = (settings: http2.ClientSessionOptions): http2.ClientHttp2Session =>
      http2.connect(origin, { ...settings, createConnection: () => connectSocket(path) });
    return { address: text, origin, open };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new UsageError(
      `${JSON.stringify(text)} is not an endpoint: it must begin with http://, https:// or unix://`,
    );
  }
  if (url.pathname !== "/" || url.search !== "" || url.username !== "") {
    throw new UsageError(`${JSON.stringify(text)}: an endpoint has a host and a port, nothing else`);
  }
  const { origin } = url;
  if (url.protocol === "http:") return { address: text, origin, open: (s) => http2.connect(origin, s) };
  return {
    address: text,
    origin,
    open: (settings) => http2.connect(origin, { ...settings, ...secure(tls) }),
  };
}

function unixPath(text: string): string | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (!path.startsWith("/")) throw new UsageError(`${JSON.stringify(text)}: the path must be absolute`);
    return path;
  }
  return text.startsWith("/") ? text : undefined;
}

function secure(tls: ClientTlsOptions = {}): http2.SecureClientSessionOptions {
  return {
    ALPNProtocols: ["h2"],
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}
