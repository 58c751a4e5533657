// Builds through a real nix-daemon.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { printStorePath } from "../../../lib/nix/path/store-path.js";
import type { BuildResult } from "../../../lib/nix/store/store.js";
import { basic, chunks, derivation, main, textFile, useMainStore } from "../../support/daemon-store.js";
import { shellDerivation } from "../../support/nix.js";
import { until } from "../../support/until.js";

useMainStore();

const run = promisify(execFile);

/** The command lines of all processes. */
async function commands(): Promise<string[]> {
  return (await run("ps", ["-eo", "args"])).stdout.split("\n");
}

describe("builds", () => {
  it("builds a derivation, with its log, and calls back before the roots are gone", async () => {
    const { path, drv } = await derivation(
      shellDerivation("logged", "echo one; echo two >&2; echo done > $out"),
    );
    const lines: string[] = [];
    let seen: BuildResult | undefined;
    const result = await main.store.buildDerivation(path, basic(drv), {
      onLog: (line) => void lines.push(Buffer.from(line).toString()),
      onResult: (each) => {
        seen = each;
      },
    });
    expect(result).toMatchObject({ status: "built", errorMessage: "", timesBuilt: 1 });
    expect(result.stopTime).toBeGreaterThanOrEqual(result.startTime);
    expect(seen).toBe(result);
    expect(lines).toContain("one");
    expect(lines).toContain("two");
    const again = await main.store.buildDerivation(path, basic(drv));
    expect(again.status).toBe("alreadyValid");
  });

  it("gives long lines in pieces and every line exactly once", async () => {
    const { path, drv } = await derivation(
      shellDerivation(
        "long-lines",
        "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo > $out",
      ),
    );
    const lines: string[] = [];
    await main.store.buildDerivation(path, basic(drv), {
      onLog: async (line) => {
        lines.push(Buffer.from(line).toString());
        if (lines.length % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
      },
    });
    expect(lines.filter((line) => line.startsWith("line "))).toEqual(
      Array.from({ length: 2000 }, (_, i) => `line ${i}`),
    );
  });

  it("reports a failing build with the daemon's words", async () => {
    const { path, drv } = await derivation(shellDerivation("failing", "echo oops; exit 3"));
    const result = await main.store.buildDerivation(path, basic(drv));
    expect(result.status).toBe("permanentFailure");
    expect(result.errorMessage).toContain("exit code 3");
    expect(result.errorMessage).not.toContain("\u001b");
  });

  it("ends a build that takes too long", async () => {
    const { path, drv } = await derivation(shellDerivation("slow", "/bin/busybox sleep 100"));
    const result = await main.store.buildDerivation(path, basic(drv), { timeout: 1 });
    expect(result.status).toBe("timedOut");
  });

  it("ends a build that is silent for too long", async () => {
    const { path, drv } = await derivation(shellDerivation("silent", "/bin/busybox sleep 100; echo"));
    const result = await main.store.buildDerivation(path, basic(drv), { maxSilentTime: 1 });
    expect(result.status).toBe("timedOut");
  });

  it("ends a build that logs too much", async () => {
    const { path, drv } = await derivation(
      shellDerivation("chatty", "while true; do echo aaaaaaaaaaaaaaaaaaaaaa; done"),
    );
    const result = await main.store.buildDerivation(path, basic(drv), { maxLogSize: 10_000 });
    expect(result.status).toBe("logLimitExceeded");
  });

  it("kills the build when it is cancelled", async () => {
    const { path, drv } = await derivation(
      shellDerivation("cancelled", "echo begun; exec /bin/busybox sleep 4321"),
    );
    const controller = new AbortController();
    const building = main.store.buildDerivation(path, basic(drv), {
      signal: controller.signal,
      onLog: (line) => {
        if (Buffer.from(line).toString() === "begun") controller.abort(new Error("not wanted any more"));
      },
    });
    await expect(building).rejects.toMatchObject({ code: "aborted" });
    await until(
      "the end of the builder",
      async () => !(await commands()).some((line) => line.includes("sleep 4321")),
    );
    expect(
      await main.store.isValidPath(
        [...drv.outputs.values()].flatMap((o) => (o.kind === "inputAddressed" ? [o.path] : []))[0] ?? path,
      ),
    ).toBe(false);
  });

  it("passes on an error of the log's consumer and kills the build", async () => {
    const { path, drv } = await derivation(
      shellDerivation("bad-consumer", "while true; do echo more; /bin/busybox sleep 0.05; done"),
    );
    await expect(
      main.store.buildDerivation(path, basic(drv), {
        onLog: () => {
          throw new Error("log disk full");
        },
      }),
    ).rejects.toThrow("log disk full");
  });

  it("builds several targets and answers in their order", async () => {
    const good = await derivation(shellDerivation("target-good", "echo > $out"));
    const bad = await derivation(shellDerivation("target-bad", "exit 1"));
    const opaque = textFile("target-opaque", "o");
    await main.store.addToStoreNar(opaque.info, chunks(opaque.nar));
    const targets = [
      { kind: "built", drvPath: bad.path, outputs: ["out"] },
      { kind: "opaque", path: opaque.path },
      { kind: "built", drvPath: good.path, outputs: "*" },
    ] as const;
    const answers = await main.store.buildPaths(targets, { keepGoing: true });
    expect(answers.map(({ target }) => target)).toEqual(targets);
    expect(answers.map(({ result }) => result.status)).toEqual(["permanentFailure", "alreadyValid", "built"]);
  });

  it("builds again to check, and notices a build that is not deterministic", async () => {
    const { path, drv } = await derivation(
      shellDerivation(
        "random",
        "/bin/busybox date +%s%N > $out; echo $RANDOM >> $out; /bin/busybox head -c 16 /dev/urandom >> $out",
      ),
    );
    expect((await main.store.buildDerivation(path, basic(drv))).status).toBe("built");
    expect((await main.store.buildDerivation(path, basic(drv), { mode: "check" })).status).toBe(
      "notDeterministic",
    );
  });

  it("keeps a built output's deriver and ultimate flag", async () => {
    const { path } = await derivation(shellDerivation("deriver", "echo > $out"));
    await main.store.buildPaths([{ kind: "built", drvPath: path, outputs: "*" }]);
    const out = (await main.store.queryDerivationOutputMap(path)).get("out");
    const info = out === undefined ? undefined : await main.store.queryPathInfo(out);
    expect(info).toMatchObject({ deriver: path, ultimate: true });
  });

  it("stores a log next to the daemon's own", async () => {
    const { path } = await derivation(shellDerivation("add-log", "echo > $out"));
    await main.store.addBuildLog(path, chunks(Buffer.from("a log from elsewhere\n")));
    expect(await main.nix.run("nix-store", ["--read-log", printStorePath(main.store.storeDir, path)])).toBe(
      "a log from elsewhere\n",
    );
  });
});
