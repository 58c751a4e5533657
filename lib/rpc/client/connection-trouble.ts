/** What errors of TLS mean to the operator of a builder. */

/** How OpenSSL names an answer that is not TLS, by the kind of server that gave it. */
const clearText =
  /wrong[ _]version[ _]number|packet[ _]length[ _]too[ _]long|http[ _]request|unknown[ _]protocol|unsupported[ _]protocol|record[ _]layer[ _]failure/i;

/** What failed about a connection to `address` (`https://…`), in one line; undefined when the error says it well itself. */
export function tlsTrouble(address: string, error: Error): string | undefined {
  if (!address.startsWith("https://")) return undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const text = `${code} ${error.message}`;
  if (clearText.test(text)) {
    return "the runner does not speak TLS there; use http://, or start the runner with --server-cert-path and --server-key-path";
  }
  const alert = /alert (?:number )?([a-z ]+?)(?::|$)/i.exec(error.message)?.[1];
  if (alert !== undefined) {
    return `the runner refused the TLS connection (${alert.trim()}); see --client-cert-path and --client-key-path`;
  }
  if (code.startsWith("ERR_SSL_") || code === "EPROTO") return `TLS failed (${code})`;
  return undefined;
}
