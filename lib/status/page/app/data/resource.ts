/** Answers of the API that a view shows, asked for again when the runner says that they changed. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiTopic } from "../../../api/types.js";
import { noteAnswer, noteSilence, onChange } from "./live.js";
import { getJson, RequestError } from "./request.js";

/** What is known of a resource. `data` stays while a newer answer is on its way, or does not come. */
export interface Resource<T> {
  readonly data: T | undefined;
  /** Why the last request failed. */
  readonly error: RequestError | undefined;
}

/** Milliseconds between two requests for the same resource. */
const minPauseMs = 900;

class Feed<T extends object> {
  readonly #route: string;
  readonly #topics: readonly ApiTopic[];
  readonly #show: (resource: Resource<T>) => void;
  readonly #ending = new AbortController();
  #data: T | undefined;
  #isAsking = false;
  #isStale = false;

  constructor(route: string, topics: readonly ApiTopic[], show: (resource: Resource<T>) => void) {
    this.#route = route;
    this.#topics = topics;
    this.#show = show;
    const end = onChange((changed) => {
      if (changed === "all" || this.#topics.some((topic) => changed.has(topic))) void this.#ask();
    });
    this.#ending.signal.addEventListener("abort", end);
    void this.#ask();
  }

  end(): void {
    this.#ending.abort();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) {
      this.#isStale = true;
      return;
    }
    this.#isAsking = true;
    const { signal } = this.#ending;
    let error: RequestError | undefined;
    try {
      const data = await getJson<T>(this.#route, signal);
      this.#data = data;
      noteAnswer("now" in data && typeof data.now === "number" ? data.now : undefined);
    } catch (thrown) {
      if (signal.aborted) return;
      error =
        thrown instanceof RequestError ? thrown : new RequestError(String(thrown), 0, { cause: thrown });
      if (error.status === 0) noteSilence();
      else noteAnswer(undefined);
      if (error.status === 404) this.#data = undefined;
    }
    if (signal.aborted) return;
    this.#show({ data: this.#data, error });
    setTimeout(() => {
      this.#isAsking = false;
      if (this.#isStale && !signal.aborted) {
        this.#isStale = false;
        void this.#ask();
      }
    }, minPauseMs);
  }
}

/**
 * An answer of the API, kept up to date. `route` is below `api/`, with its query; `topics` are those that it depends on.
 * Data of another route stay until the new ones are there, so that a filter does not make a view flicker.
 */
export function useResource<T extends object>(route: string, topics: readonly ApiTopic[]): Resource<T> {
  const [resource, show] = useState<Resource<T>>({ data: undefined, error: undefined });
  const isFirst = useRef(true);
  useEffect(() => {
    isFirst.current = false;
    const feed = new Feed<T>(route, topics, show);
    return () => feed.end();
  }, [route]);
  return resource;
}
