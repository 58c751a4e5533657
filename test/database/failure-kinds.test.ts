import { describe, expect, it } from "vitest";
import { failureCode, failureKind } from "../../lib/database/index.js";

const coded = (code: string, cause?: unknown) => Object.assign(new Error("x", { cause }), { code });

describe("what an error means", () => {
  it.each([
    ["40001", "conflict"],
    ["40P01", "conflict"],
    ["55P03", "conflict"],
    ["26000", "conflict"],
    ["42P05", "conflict"],
    ["57P01", "lost"],
    ["57P03", "lost"],
    ["53300", "lost"],
    ["08006", "lost"],
    ["ECONNREFUSED", "lost"],
    ["ENOENT", "lost"],
    ["EMFILE", "lost"],
    ["ENFILE", "lost"],
    ["ENOBUFS", "lost"],
    ["ENOMEM", "lost"],
    ["EADDRNOTAVAIL", "lost"],
    ["EAGAIN", "lost"],
    ["ENETDOWN", "lost"],
    ["28P01", "refused"],
    ["3D000", "refused"],
    ["EACCES", "refused"],
    ["23505", "other"],
    ["42601", "other"],
  ])("%s is %s", (code, kind) => {
    expect(failureKind(coded(code))).toBe(kind);
  });

  it("is a conflict when the plan of a prepared statement became useless, and a fault for other unsupported things", () => {
    const unsupported = (routine: string) => Object.assign(coded("0A000"), { routine });
    expect(failureKind(unsupported("RevalidateCachedQuery"))).toBe("conflict");
    expect(failureKind(unsupported("CheckSelectLocking"))).toBe("other");
  });

  it("is found along the causes and inside of several attempts", () => {
    expect(failureKind(new Error("query failed", { cause: coded("40P01") }))).toBe("conflict");
    expect(failureKind(new AggregateError([coded("ECONNREFUSED")], "all failed"))).toBe("lost");
    expect(failureCode(coded("unavailable", coded("57P01")))).toBe("57P01");
  });

  it("is told by the driver's text where there is no code", () => {
    expect(failureKind(new Error("Connection terminated unexpectedly"))).toBe("lost");
    expect(failureKind(new Error("Query read timeout"))).toBe("lost");
    expect(failureKind(new Error("something else"))).toBe("other");
    expect(failureKind("a string")).toBe("other");
  });
});
