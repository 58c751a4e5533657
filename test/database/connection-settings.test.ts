import { describe, expect, it } from "vitest";
import { connectionSettings } from "../../lib/database/index.js";
import { UsageError } from "../../lib/errors.js";

const config = (url: string, env: Record<string, string> = {}) => connectionSettings(url, env).config;

describe("a database URL", () => {
  it.each([
    [
      "postgres://hydra@%2Frun%2Fpostgresql:5432/hydra",
      { host: "/run/postgresql", port: 5432, user: "hydra", database: "hydra" },
    ],
    [
      "postgresql://u%40x:p%3Aw@db.example.org:6432/name%20with%20space",
      { host: "db.example.org", port: 6432, user: "u@x", password: "p:w", database: "name with space" },
    ],
    ["postgres://u@[::1]:7/d", { host: "::1", port: 7, user: "u", database: "d" }],
    ["postgres://u@host/", { host: "host", port: 5432, database: "u" }],
    [
      "postgres:///d?host=/tmp/s&port=77&user=w&application_name=mine",
      { host: "/tmp/s", port: 77, user: "w", database: "d", application_name: "mine" },
    ],
    ["postgres://u@h/d?dbname=other", { database: "other" }],
    ["postgres://u:p@ss@h/d", { user: "u", password: "p@ss", host: "h" }],
  ])("%s", (url, expected) => {
    expect(config(url)).toMatchObject(expected);
  });

  it("falls back to the variables of libpq, the URL going first", () => {
    const env = { PGHOST: "h", PGPORT: "9", PGUSER: "u", PGDATABASE: "d", PGPASSWORD: "p" };
    expect(config("postgres://", env)).toMatchObject({
      host: "h",
      port: 9,
      user: "u",
      database: "d",
      password: "p",
    });
    expect(config("postgres://x@y:1/z", env)).toMatchObject({ host: "y", port: 1, user: "x", database: "z" });
  });

  it("names the program, and leaves the password to PGPASSFILE when there is none", () => {
    expect(config("postgres://u@h/d").application_name).toBe("hydra-queue-runner");
    expect(config("postgres://u@h/d")).not.toHaveProperty("password");
  });

  it("says how to encrypt as libpq does", () => {
    expect(config("postgres://u@h/d").ssl).toBe(false);
    expect(config("postgres://u@h/d?sslmode=require").ssl).toEqual({ rejectUnauthorized: false });
    expect(config("postgres://u@h/d?sslmode=verify-full").ssl).toEqual({});
    expect(config("postgres://u@h/d?sslmode=verify-ca").ssl).toHaveProperty("checkServerIdentity");
  });

  it.each([
    "mysql://h/d",
    "postgres:/h/d",
    "postgres://u@h:99999/d",
    "postgres://u@h:0/d",
    "postgres://u@a:1,b:2/d",
    "postgres://u@h/d%",
    "postgres://u@h/d?sslmode=sometimes",
    "postgres://u@h/d?sslmode=require&sslrootcert=/nonexistent/ca",
  ])("is refused: %s", (url) => {
    expect(() => connectionSettings(url, {})).toThrow(UsageError);
  });

  it("is described without its password", () => {
    const { description } = connectionSettings("postgres://u:secret@h:1/d", {});
    expect(description).toBe("u@h:1/d");
    expect(() => connectionSettings("postgres://u:secret@h:1/d%", {})).toThrow(/^(?!.*secret)/);
  });
});
