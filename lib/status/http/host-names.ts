/**
 * The names that the status API answers to, against DNS rebinding: a page of another site whose name is made to lead to
 * our address has its own name in `Host`, whatever else its requests look like.
 */

import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { aList, aText, checkArgument, checkMembers, optional } from "../../argument-checks.js";

/** `Host` without port and brackets, in lower case and without the final dot. Undefined: not a host. */
export function hostOf(header: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)(?:%[\w.-]+)?\]|([^\s:/?#@[\]\\]+))(?::\d{0,5})?$/i.exec(header.trim());
  const host = (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, "");
  return host === "" ? undefined : host;
}

/** Names that a text in the format of /etc/hosts gives to the addresses. */
export function namesOfAddresses(text: string, addresses: ReadonlySet<string>): string[] {
  return text.split("\n").flatMap((line) => {
    const [address = "", ...names] = (line.split("#")[0] ?? "").trim().split(/\s+/);
    return addresses.has(address) || address.startsWith("127.") ? names : [];
  });
}

/** Search domains of a text in the format of /etc/resolv.conf. */
export function searchDomains(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [keyword, ...domains] = line.trim().split(/\s+/);
    return keyword === "search" || keyword === "domain" ? domains.filter((one) => /^[\w-]/.test(one)) : [];
  });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Names of this machine: its host name, with its search domains, and what /etc/hosts calls its addresses. */
function machineNames(): string[] {
  const own = hostname();
  const short = own.split(".")[0] ?? own;
  const addresses = new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
  );
  return [
    own,
    short,
    `${short}.local`,
    ...searchDomains(textOf("/etc/resolv.conf")).map((domain) => `${short}.${domain}`),
    ...namesOfAddresses(textOf("/etc/hosts"), addresses),
  ];
}

/** Which names are ours. */
export interface HostNamesOptions {
  /** `statusHosts` of the configuration; `*` stands for any name. Default: the names of this machine. */
  readonly names?: readonly string[] | undefined;
  /** Name or address that the server was bound to. */
  readonly bound?: string | undefined;
}

/**
 * A set of host names. Loopback names and IP addresses always belong to it: DNS cannot make a foreign name of one of
 * them, so they cannot be used for rebinding.
 */
export class HostNames {
  readonly #names: ReadonlySet<string>;

  constructor(options: HostNamesOptions = {}) {
    checkMembers("HostNames", options, { names: optional(aList), bound: optional(aText) });
    const { names = machineNames(), bound } = options;
    const given = bound === undefined ? names : [...names, bound];
    this.#names = new Set(given.flatMap((name) => (name === "*" ? name : (hostOf(name) ?? []))));
  }

  /** Whether a `Host` header names this server. One without `Host` (HTTP/1.0) does not come from a browser. */
  has(header: string | undefined): boolean {
    checkArgument("HostNames.has", "header", header, optional(aText));
    if (header === undefined || this.#names.has("*")) return true;
    const host = hostOf(header);
    if (host === undefined) return false;
    return isIP(host) !== 0 || host === "localhost" || host.endsWith(".localhost") || this.#names.has(host);
  }
}
