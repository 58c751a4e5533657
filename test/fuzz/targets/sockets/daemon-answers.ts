/**
 * A Nix daemon whose answers are mutated, over a Unix socket, to each question of a store.
 *
 * An input is a byte that chooses the question, one that chooses the version of the protocol, and the answer.
 */
import { stderrCode } from "../../../../lib/nix/daemon/protocol/numbers.js";
import { WireWriter } from "../../../../lib/nix/daemon/protocol/writer.js";
import {
  type BasicDerivation,
  byteStringFromText,
  DaemonStore,
  dumpTree,
} from "../../../../lib/nix/index.js";
import { bytesOf, streamOf } from "../../../rpc/support/streams.js";
import { hello, helloDrv, infoOf } from "../../../rpc/support/values.js";
import type { FuzzTarget } from "../../target.js";
import { withinLimits } from "./limits.js";
import { greeting, LyingDaemon } from "./lying-daemon.js";

const drv: BasicDerivation = {
  name: "hello",
  outputs: new Map([["out", { kind: "inputAddressed", path: hello }]]),
  inputSources: [],
  system: byteStringFromText("x86_64-linux"),
  builder: byteStringFromText("/bin/sh"),
  args: [],
  env: new Map(),
};
const realisation = { outPath: hello, signatures: [] };
const drvOutput = { drvPath: helloDrv, drvHash: `sha256:${"0".repeat(64)}`, outputName: "out" };
const target = { kind: "built", drvPath: helloDrv, outputs: "*" } as const;
const nar = Buffer.concat([...dumpTree({ kind: "regular", contents: Buffer.from("contents\n") })]);

type Write = (writer: WireWriter) => WireWriter;
const fullPath = `/nix/store/${hello}`;
const paths: Write = (writer) => writer.u64(2).text(fullPath).text(`/nix/store/${helloDrv}`);
const info: Write = (writer) => {
  writer.text(`/nix/store/${helloDrv}`).text("0".repeat(64));
  return paths(writer).u64(1_700_000_000).u64(nar.length).bool(true).u64(1).text("key:sig").text("");
};
const result: Write = (writer) =>
  writer.u64(0).text("").u64(1).bool(false).u64(1).u64(2).u64(1).u64(5).u64(0).u64(0);
const activity: Write = (writer) => {
  writer.u64(stderrCode.startActivity).u64(7).u64(3).u64(105).text("building").u64(1).u64(1).text("x").u64(0);
  writer.u64(stderrCode.result).u64(7).u64(101).u64(1).u64(1).text("a line of a log");
  return writer.u64(stderrCode.next).text("warning\n").u64(stderrCode.stopActivity).u64(7);
};
const last = (writer: WireWriter): WireWriter => writer.u64(stderrCode.last);

/** A question, and what a good daemon answers. */
interface Question {
  readonly ask: (store: DaemonStore) => Promise<unknown>;
  readonly answer: Write;
  /** Bytes that follow the answer. */
  readonly rest?: Uint8Array;
}

const questions: readonly Question[] = [
  {
    ask: (store) => store.queryPathInfo(hello),
    answer: (w) => info(last(w).bool(true)),
  },
  {
    ask: (store) => store.queryPathInfos([hello, helloDrv]),
    answer: (w) => info(last(info(last(w).bool(true))).bool(true)),
  },
  { ask: (store) => store.isValidPath(hello), answer: (w) => last(w).bool(true) },
  { ask: (store) => store.queryValidPaths([hello, helloDrv]), answer: (w) => paths(last(w)) },
  { ask: (store) => store.queryReferrers(hello), answer: (w) => paths(last(w)) },
  { ask: (store) => store.queryPathFromHashPart(hello.slice(0, 32)), answer: (w) => last(w).text(fullPath) },
  { ask: (store) => store.closure([hello]), answer: (w) => info(last(w).bool(true)) },
  {
    ask: (store) => bytesOf(store.narFromPath(hello)),
    answer: (w) => last(info(last(last(w).u64(1)).bool(true))),
    rest: nar,
  },
  {
    ask: (store) => store.readDerivation(helloDrv),
    answer: (w) => last(info(last(last(w).u64(1)).bool(true))),
    rest: nar,
  },
  {
    ask: (store) => store.addToStoreNar(infoOf("x", 5), streamOf("12345")),
    answer: (w) => last(activity(w)),
  },
  {
    ask: (store) =>
      store.addMultipleToStore(
        (async function* () {
          yield { info: infoOf("x", 5), nar: streamOf("12345") };
        })(),
        1,
      ),
    answer: last,
  },
  {
    ask: (store) => store.addTextToStore("x", Buffer.from("text"), []),
    answer: (w) => info(last(w).text(fullPath)),
  },
  { ask: (store) => store.ensurePath(hello), answer: (w) => last(activity(w)).u64(1) },
  { ask: (store) => store.queryRealisation(drvOutput), answer: (w) => last(w).u64(1).text(fullPath).u64(0) },
  {
    ask: (store) => store.queryRealisation(drvOutput),
    answer: (w) =>
      last(w)
        .u64(1)
        .text(JSON.stringify({ id: `${drvOutput.drvHash}!out`, ...realisation, dependentRealisations: {} })),
  },
  { ask: (store) => store.registerDrvOutput(drvOutput, realisation), answer: last },
  {
    ask: (store) => store.queryDerivationOutputMap(helloDrv),
    answer: (w) => last(w).u64(1).text("out").text(fullPath),
  },
  {
    ask: (store) => store.queryMissing([target]),
    answer: (w) =>
      paths(paths(paths(last(w))))
        .u64(1)
        .u64(2),
  },
  { ask: (store) => store.findRoots(), answer: (w) => last(w).u64(1).text("/root").text(fullPath) },
  { ask: (store) => store.deletePath(hello), answer: (w) => last(w).u64(1).text(fullPath).u64(10).u64(0) },
  {
    ask: (store) => store.buildDerivation(helloDrv, drv, { onLog: () => {} }),
    // Settings come first on the connection of a build.
    answer: (w) => result(last(activity(last(w)))),
  },
  {
    ask: (store) => store.buildPaths([target], { onLog: () => {} }),
    answer: (w) =>
      result(
        last(activity(last(w)))
          .u64(1)
          .text(`/nix/store/${helloDrv}!*`),
      ),
  },
  {
    ask: (store) => store.queryPathInfo(hello),
    answer: (w) =>
      w.u64(stderrCode.error).text("Error").u64(0).text("Error").text("no such path").u64(0).u64(0),
  },
];

const minors = [34, 37, 38, 32] as const;
/** Set in the second byte: the bytes are the greeting. */
const greets = 0x80;

function answersOf({ answer, rest = new Uint8Array() }: Question, index: number): Uint8Array[] {
  return minors.map((_, version) =>
    Buffer.concat([Buffer.from([index, version]), answer(new WireWriter()).take(), rest]),
  );
}

const questionOf = (input: Uint8Array): Question =>
  questions[(input[0] ?? 0) % questions.length] ?? { ask: async () => {}, answer: last };

export async function daemonAnswersTarget(): Promise<FuzzTarget & AsyncDisposable> {
  let answer: Uint8Array = new Uint8Array();
  const daemon = await LyingDaemon.listen(() => answer);
  return {
    name: "daemon-answers",
    seeds: [
      ...questions.flatMap(answersOf),
      ...minors.map((minor) => Buffer.concat([Buffer.from([0, greets]), greeting(minor)])),
    ],
    async run(input) {
      const version = input[1] ?? 0;
      answer = input.subarray(2);
      daemon.minor = minors[(version & ~greets) % minors.length] ?? 34;
      daemon.greeting = (version & greets) === 0 ? undefined : answer;
      await withinLimits("daemon", async () => {
        await using store = await DaemonStore.open({ remote: daemon.address });
        await questionOf(input).ask(store);
      });
    },
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}
