/** A Nix daemon that hangs or is gone is trouble, and said once at its begin and once at its end. */
import { afterEach, expect, it } from "vitest";
import { StoreWatch } from "../../../lib/builder/machine/store-watch.js";
import { createLogger } from "../../../lib/log.js";
import { until } from "../../support/until.js";

const stop = new AbortController();
afterEach(() => stop.abort());

it("notices one that hangs and one that is gone, and asks one question at a time", async () => {
  const lines: string[] = [];
  let news = 0;
  let questions = 0;
  let open = 0;
  let most = 0;
  let answer = (): Promise<boolean> => Promise.resolve(false);
  const store = {
    isValidPath: async () => {
      questions++;
      open++;
      most = Math.max(most, open);
      try {
        return await answer();
      } finally {
        open--;
      }
    },
  };
  const logger = createLogger({ target: "t", write: (line) => lines.push(line.replace(/^\S+ +/, "")) });
  const watch = new StoreWatch({ store, logger, limitMs: 100, intervalMs: 10 });
  const subscription = watch.subscribe(() => news++);
  const running = watch.run(stop.signal);
  await until("some questions", async () => questions > 3);
  expect([watch.trouble, news, lines]).toEqual([undefined, 0, []]);

  let thaw: (value: boolean) => void = () => undefined;
  answer = () =>
    new Promise((resolve) => {
      thaw = resolve;
    });
  await until("the trouble", async () => watch.trouble !== undefined);
  expect([watch.trouble, news]).toEqual(["no answer within 0.1 s", 1]);
  answer = () => Promise.resolve(false);
  thaw(false);
  await until("its end", async () => watch.trouble === undefined);
  expect(news).toBe(2);

  answer = () => Promise.reject(new Error("the daemon is gone"));
  await until("the next trouble", async () => watch.trouble !== undefined);
  expect(watch.trouble).toBe("the daemon is gone");
  subscription[Symbol.dispose]();
  answer = () => Promise.resolve(true);
  await until("its end", async () => watch.trouble === undefined);
  expect([news, most]).toEqual([3, 1]);
  expect(lines).toEqual([
    'WARN t: the Nix daemon does not answer reason="no answer within 0.1 s"',
    "INFO t: the Nix daemon answers again",
    'WARN t: the Nix daemon does not answer reason="the daemon is gone"',
    "INFO t: the Nix daemon answers again",
  ]);
  stop.abort();
  await running;
});
