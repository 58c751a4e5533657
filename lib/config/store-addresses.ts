/** What can be checked about store addresses without opening the stores. */

const knownPrefixes = ["s3://", "file://", "ssh://", "/"] as const;
/** The beginnings of addresses, for messages. */
export const storeAddressForms = knownPrefixes.join(", ").replace(/, ([^,]*)$/, " or $1");

/** One of the forms outputs can be copied to. */
export function isStoreAddress(address: string): boolean {
  return knownPrefixes.some((prefix) => address.startsWith(prefix));
}

/** Files of the signing keys that an address names. */
export function keyFiles(address: string): string[] {
  const query = address.indexOf("?");
  if (query < 0) return [];
  const parameters = new URLSearchParams(address.slice(query + 1).replaceAll("+", "%2B"));
  return [
    ...parameters.getAll("secret-key"),
    ...parameters.getAll("secret-keys").flatMap((list) => list.split(",")),
  ].filter((path) => path !== "");
}

/** The address without what may be secret in it, for logs. */
export function printableAddress(address: string): string {
  return address.replace(/\/\/[^/?@]*@/, "//…@");
}
