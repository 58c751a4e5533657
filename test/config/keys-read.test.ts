/** Every key of both files is read by its program, or says that it is ignored. */
import { describe, expect, it } from "vitest";
import { builderSettings, queueRunnerSettings, type SettingTable } from "../../lib/config/index.js";
import { codeOf } from "../support/source-text.js";

/** Keys that name a file: the loader reads it, and the program reads its content under another name. */
const contents: Readonly<Record<string, string>> = { statusTokenPath: "statusToken" };

/** `config.key`, `settings.key`, destructured from an object of such a name or type, or picked from its type. */
function isRead(code: string, key: string): boolean {
  const name = contents[key] ?? key;
  const access = new RegExp(`(?:config|settings)(?:\\(\\))?\\??\\.${name}\\b`, "i");
  const destructured = new RegExp(
    `\\{[^{}]*\\b${name}\\b[^{}]*\\}\\s*(?:=\\s*[\\w.#?()]*(?:config|settings)|:\\s*\\w*(?:Config|Settings))\\b`,
    "i",
  );
  const picked = new RegExp(`Pick<\\s*(?:QueueRunner|Builder)Config,[^<>]*"${name}"`);
  return [access, destructured, picked].some((way) => way.test(code));
}

describe.each([
  [
    "queue runner",
    queueRunnerSettings as SettingTable,
    codeOf("lib/runner", "bin/run-queue-runner.ts", "bin/commands/runner-surroundings.ts"),
  ],
  [
    "builder",
    builderSettings as SettingTable,
    codeOf("lib/builder", "bin/run-hydra-builder.ts", "bin/commands/builder-surroundings.ts"),
  ],
])("%s", (_program, settings, code) => {
  it.each(Object.entries(settings).map(([key, setting]) => ({ key, ignored: setting.ignored === true })))(
    "$key is read, or marked as ignored (ignored: $ignored)",
    ({ key, ignored }) => {
      expect(isRead(code, key)).toBe(!ignored);
    },
  );
});

it("the check finds a key that is not read", () => {
  expect(isRead("const a = config.other;", "key")).toBe(false);
  expect(isRead("const { key } = this.#other;", "key")).toBe(false);
  expect(isRead("const { other, key } = this.#settings;", "key")).toBe(true);
  expect(isRead("config().key", "key")).toBe(true);
});
