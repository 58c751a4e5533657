/** Signals and exit codes, seen from outside of real processes. */
import { describe, expect, it } from "vitest";

import { scratchFolder } from "./child.js";

const service = `
await lib.runProgram(async () => {
  const signals = lib.shutdownSignals();
  const alive = setInterval(() => {}, 1000);
  signals.second.addEventListener("abort", () => console.log("second", signals.second.reason));
  console.log("up");
  await new Promise((resolve) => signals.first.addEventListener("abort", resolve));
  console.log("first", signals.first.reason);
  if (process.env.HANG) await new Promise(() => {});
  clearInterval(alive);
}, { name: "service" });
`;

describe("shutdownSignals", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("%s ends the program in order, with code 0", async (name) => {
    await using folder = await scratchFolder();
    const child = await folder.start(service);
    expect(await child.line()).toBe("up");
    child.process.kill(name);
    expect(await child.line()).toBe(`first ${name}`);
    expect(await child.ended).toEqual({ code: 0, signal: null, stderr: "" });
  });

  it("a second signal insists, a third one ends a program that hangs", async () => {
    await using folder = await scratchFolder();
    const child = await folder.start(service, { env: { HANG: "1" } });
    await child.line();
    child.process.kill("SIGTERM");
    expect(await child.line()).toBe("first SIGTERM");
    child.process.kill("SIGINT");
    expect(await child.line()).toBe("second SIGINT");
    child.process.kill("SIGTERM");
    expect((await child.ended).code).toBe(143);
  });

  it("gives the signals back when disposed of", async () => {
    await using folder = await scratchFolder();
    const child = await folder.start(`
      lib.shutdownSignals()[Symbol.dispose]();
      setInterval(() => {}, 1000);
      console.log("up");
    `);
    await child.line();
    child.process.kill("SIGTERM");
    expect(await child.ended).toMatchObject({ code: null, signal: "SIGTERM" });
  });
});

describe("onReloadSignal", () => {
  it("runs one reload at a time and never loses a signal that comes meanwhile", async () => {
    await using folder = await scratchFolder();
    const child = await folder.start(`
      let count = 0;
      let finish;
      const reload = lib.onReloadSignal(async () => {
        console.log("begin", ++count);
        await new Promise((resolve) => { finish = resolve; });
        console.log("end", count);
        if (count === 2) process.exit(0);
      }, () => {});
      process.on("SIGHUP", () => console.log("hup"));
      process.on("SIGUSR2", () => finish());
      setInterval(() => {}, 1000);
      console.log("up");
    `);
    expect(await child.line()).toBe("up");
    child.process.kill("SIGHUP");
    expect([await child.line(), await child.line()]).toEqual(["begin 1", "hup"]);
    for (let more = 0; more < 3; more++) {
      child.process.kill("SIGHUP");
      expect(await child.line()).toBe("hup");
    }
    child.process.kill("SIGUSR2");
    expect([await child.line(), await child.line()]).toEqual(["end 1", "begin 2"]);
    child.process.kill("SIGUSR2");
    expect(await child.line()).toBe("end 2");
    expect((await child.ended).code).toBe(0);
  });

  it("hands errors over and goes on", async () => {
    await using folder = await scratchFolder();
    const child = await folder.start(`
      const reload = lib.onReloadSignal(() => { throw new Error("bad file"); }, (error) => console.log(error.message));
      await reload.reload();
      await reload.reload();
      console.log("alive");
    `);
    expect([await child.line(), await child.line(), await child.line()]).toEqual([
      "bad file",
      "bad file",
      "alive",
    ]);
  });
});

describe("onLogLevelSignals", () => {
  it("SIGUSR1 says more and starts no debugger, SIGUSR2 says less", async () => {
    await using folder = await scratchFolder();
    const levels = new URL("../../dist/lib/log-levels.js", import.meta.url).href;
    const log = new URL("../../dist/lib/log.js", import.meta.url).href;
    const child = await folder.start(`
      const { LogLevels } = await import(${JSON.stringify(levels)});
      const { createLogger } = await import(${JSON.stringify(log)});
      const names = ["off", "error", "warn", "info", "debug", "trace"];
      const level = new LogLevels((text) => () => text, "info");
      const logger = createLogger({ target: "t", level, write: (line) => console.log(line.slice(25).trim()) });
      const signals = lib.onLogLevelSignals(level, logger);
      process.on("SIGUSR1", () => logger.debug("seen"));
      process.on("SIGUSR2", () => logger.debug("seen"));
      setInterval(() => {}, 1000);
      console.log("up");
      process.on("SIGHUP", () => {
        signals[Symbol.dispose]();
        process.exit(names.indexOf(level.levelOf("t")));
      });
    `);
    expect(await child.line()).toBe("up");
    child.process.kill("SIGUSR1");
    expect(await child.line()).toBe('ERROR t: log levels changed by a signal levels="info (+1)"');
    expect(await child.line()).toBe("DEBUG t: seen");
    for (const text of ["levels=info", 'levels="info (-1)"']) {
      child.process.kill("SIGUSR2");
      expect(await child.line()).toBe(`ERROR t: log levels changed by a signal ${text}`);
    }
    child.process.kill("SIGHUP");
    // Node would say here that its debugger listens.
    expect(await child.ended).toEqual({ code: 2, signal: null, stderr: "" });
  });
});

describe("runProgram", () => {
  const run = async (body: string): Promise<{ code: number | null; stderr: string }> => {
    await using folder = await scratchFolder();
    const child = await folder.start(
      `await lib.runProgram(async () => { ${body} }, { name: "prog", lingerMs: 50 });`,
    );
    return await child.ended;
  };

  it("shows what the user did wrong in one line and ends with 2", async () => {
    const ended = await run(`throw new errors.UsageError("--port\\n  must be a number");`);
    expect(ended).toMatchObject({ code: 2, stderr: "prog: --port must be a number\n" });
  });

  it("shows stacks of other errors and their causes, and ends with 1", async () => {
    const { code, stderr } = await run(
      `throw new Error("outer", { cause: new AggregateError([new TypeError("inner")], "several") });`,
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/^prog: Error: outer\n +at /);
    expect(stderr).toContain("caused by: AggregateError: several");
    expect(stderr).toContain("of: TypeError: inner");
  });

  it("ends with the number that the program returns", async () => {
    expect((await run("return 65;")).code).toBe(65);
  });

  it("does not let a forgotten handle keep the process", async () => {
    expect((await run("setInterval(() => {}, 1000);")).code).toBe(0);
  });

  it("takes anything that is thrown", async () => {
    const { code, stderr } = await run(`throw "text";`);
    expect(code).toBe(1);
    expect(stderr).toContain("text");
  });
});
