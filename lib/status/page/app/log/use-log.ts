/** A log for a component: the lines so far, drawn again a few times a second. */
import { useEffect, useState } from "preact/hooks";
import { LineBuffer } from "./line-buffer.js";
import { type LogState, logUrl, readLog } from "./log-stream.js";

/** Lines and state. `version` grows with every change. */
export interface ShownLog {
  readonly buffer: LineBuffer;
  readonly state: LogState;
  readonly version: number;
}

/** Milliseconds between two times that it is drawn: a frame costs as much as thousands of lines. */
const drawMs = 100;

/** The log of a try. `isLive` undefined: it is not known yet whether it runs, so nothing is read. */
export function useLog(drv: string, tryNumber: string, isLive: boolean | undefined): ShownLog {
  const [shown, show] = useState<ShownLog>({ buffer: new LineBuffer(), state: "loading", version: 0 });
  useEffect(() => {
    if (isLive === undefined) return undefined;
    const ending = new AbortController();
    let buffer = new LineBuffer();
    let state: LogState = "loading";
    let version = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (): void => {
      timer = undefined;
      version++;
      show({ buffer, state, version });
    };
    const later = (): void => {
      timer ??= setTimeout(draw, drawMs);
    };
    void readLog(
      logUrl(drv, tryNumber),
      isLive,
      {
        text(text) {
          buffer.add(text);
          later();
        },
        state(next) {
          state = next;
          if (next === "finished") buffer.finish();
          later();
        },
        restart() {
          buffer = new LineBuffer();
        },
      },
      ending.signal,
    );
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
    // A try that ends while it is read is read to its end by the same request.
  }, [drv, tryNumber, isLive === undefined]);
  return shown;
}
