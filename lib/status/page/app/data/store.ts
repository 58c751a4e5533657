/** A value that components read and are drawn again for. */
import { useEffect, useState } from "preact/hooks";

/** A value and who wants to know of its changes. */
export interface Store<T> {
  get(): T;
  set(value: T): void;
  /** Returns the end of the subscription. */
  subscribe(listener: () => void): () => void;
}

/** A store with a first value. */
export function createStore<T>(first: T): Store<T> {
  let current = first;
  const listeners = new Set<() => void>();
  return {
    get: () => current,
    set(value) {
      if (Object.is(value, current)) return;
      current = value;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The store's value; the component is drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState(0);
  useEffect(() => {
    const seen = store.get();
    const listen = (): void => redraw((count) => count + 1);
    const end = store.subscribe(listen);
    // It may have changed between drawing and this.
    if (!Object.is(seen, store.get())) listen();
    return end;
  }, [store]);
  return store.get();
}
