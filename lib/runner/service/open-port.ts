/** Whether anyone who can reach the port for builders may join as one. */
import { type AddressInfo, BlockList } from "node:net";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");
loopback.addSubnet("::ffff:127.0.0.0", 104, "ipv6");

/** What a listener asks its peers for. */
export interface Authentication {
  readonly tokens: boolean;
  readonly clientCertificates: boolean;
}

/** Whether a listener can be reached from other hosts, and asks for nothing. Unix sockets cannot. */
export function isOpenToEverybody(
  address: AddressInfo | string | undefined,
  { tokens, clientCertificates }: Authentication,
): boolean {
  if (tokens || clientCertificates || address === undefined || typeof address === "string") return false;
  return !loopback.check(address.address, address.family === "IPv6" ? "ipv6" : "ipv4");
}
