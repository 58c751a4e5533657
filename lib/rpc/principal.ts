/**
 * The party that a call is answered for: everything that may be asked about machines, attempts, logs and paths is asked
 * in the name of a principal, never of a TCP connection, because a proxy may use another connection for each call and
 * may mix the calls of several builders on one.
 */
import { anObject, aText, checkMembers } from "../argument-checks.js";

/** Who makes a call, by the strongest proof that the server asks for. */
export type Principal =
  /** A known bearer token. The name is that of its file, so it survives a change of the token itself. */
  | { readonly kind: "token"; readonly name: string }
  /** A certificate that the configured authority signed. */
  | { readonly kind: "certificate"; readonly subject: string }
  /** Any process that may open the Unix socket that the server listens on. */
  | { readonly kind: "unixPeer" }
  /** Without any proof: an address without port. Peers that share it cannot be told apart. */
  | { readonly kind: "anonymous"; readonly address: string };

/** One text for each principal: a key for maps, and fit for log lines (it holds no secret). */
export function principalKey(principal: Principal): string {
  checkMembers("principalKey", principal, { kind: aText });
  switch (principal.kind) {
    case "token":
      return `token ${principal.name}`;
    case "certificate":
      return `certificate ${principal.subject}`;
    case "unixPeer":
      return "unix socket";
    case "anonymous":
      return `address ${principal.address}`;
  }
}

/** Whether two calls are made by the same party. */
export function isSamePrincipal(one: Principal, other: Principal): boolean {
  return principalKey(one) === principalKey(other);
}

/** The principal of a call: the context that each handler gets, or a tunnel. */
export function principalOf(call: { readonly peer: { readonly principal: Principal } }): Principal {
  checkMembers("principalOf", call, { peer: anObject });
  return call.peer.principal;
}
