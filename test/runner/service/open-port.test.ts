/** A port without authentication that other hosts reach. */
import { expect, it } from "vitest";
import { isOpenToEverybody } from "../../../lib/runner/service/open-port.js";

const nothing = { tokens: false, clientCertificates: false };
const at = (address: string) => ({ address, family: address.includes(":") ? "IPv6" : "IPv4", port: 1 });

it.each(["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])("%s is open", (address) => {
  expect(isOpenToEverybody(at(address), nothing)).toBe(true);
  expect(isOpenToEverybody(at(address), { ...nothing, tokens: true })).toBe(false);
  expect(isOpenToEverybody(at(address), { ...nothing, clientCertificates: true })).toBe(false);
});

it.each(["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])("%s is not", (address) => {
  expect(isOpenToEverybody(at(address), nothing)).toBe(false);
});

it("a Unix socket is not", () => {
  expect(isOpenToEverybody("/run/socket", nothing)).toBe(false);
});
