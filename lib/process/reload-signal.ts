/** SIGHUP as "read your configuration again". */
import { aFunction, checkArgument } from "../argument-checks.js";

/** A subscription to SIGHUP; disposing of it ends it. */
export interface ReloadSignal extends Disposable {
  /** Does what a SIGHUP does; resolves when a reload that began after this call is over. */
  reload(): Promise<void>;
}

/**
 * Calls `reload` at every SIGHUP until disposed of. Calls never overlap: signals that come while one runs lead to
 * exactly one more, so the last state of the file always counts. What `reload` throws goes to `onError`.
 */
export function onReloadSignal(
  reload: () => Promise<void> | void,
  onError: (error: unknown) => void,
): ReloadSignal {
  checkArgument("onReloadSignal", "reload", reload, aFunction);
  checkArgument("onReloadSignal", "onError", onError, aFunction);
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  const runOnce = async (): Promise<void> => {
    try {
      await reload();
    } catch (error) {
      onError(error);
    }
  };
  const begin = (): Promise<void> => {
    running = runOnce().finally(() => {
      running = undefined;
    });
    return running;
  };
  const request = (): Promise<void> => {
    if (running === undefined) return begin();
    next ??= running.then(() => {
      next = undefined;
      return begin();
    });
    return next;
  };
  const onSignal = (): void => void request();
  process.on("SIGHUP", onSignal);
  return {
    reload: request,
    [Symbol.dispose]: () => void process.off("SIGHUP", onSignal),
  };
}
