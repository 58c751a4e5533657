/** Search for derivations, jobs, builds and machines, from every view. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiHit, ApiSearch } from "../../../api/types.js";
import { hrefOf, navigate } from "../data/address.js";
import { getJson } from "../data/request.js";
import { paths } from "./link.js";

/** Milliseconds without a key until the runner is asked. */
const pauseMs = 120;

function pathOfHit({ kind, id }: ApiHit): string {
  switch (kind) {
    case "build":
      return paths.build(Number(id));
    case "step":
      return paths.step(id);
    case "machine":
      return paths.machine(id);
    case "jobset":
      return paths.queue({ jobset: id });
  }
}

/** A field with a list of hits below it. */
export function Search(): JSX.Element {
  const [text, setText] = useState("");
  const [hits, setHits] = useState<readonly ApiHit[]>();
  const [active, setActive] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const wanted = text.trim();
    setActive(0);
    if (wanted === "") {
      setHits(undefined);
      return undefined;
    }
    const ending = new AbortController();
    const timer = setTimeout(() => {
      getJson<ApiSearch>(`search?q=${encodeURIComponent(wanted)}`, ending.signal).then(
        (answer) => setHits(answer.hits),
        () => {
          if (!ending.signal.aborted) setHits([]);
        },
      );
    }, pauseMs);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [text]);
  const go = (hit: ApiHit | undefined): void => {
    if (hit === undefined) return;
    setText("");
    field.current?.blur();
    navigate(pathOfHit(hit));
  };
  const press = (event: KeyboardEvent): void => {
    const count = hits?.length ?? 0;
    if (event.key === "Escape") {
      setText("");
      field.current?.blur();
    } else if (event.key === "ArrowDown") setActive((active + 1) % Math.max(1, count));
    else if (event.key === "ArrowUp") setActive((active + count - 1) % Math.max(1, count));
    else if (event.key === "Enter") go(hits?.[active]);
    else return;
    event.preventDefault();
  };
  const isOpen = hits !== undefined && text.trim() !== "";
  return (
    <search class="search">
      <input
        id="search"
        ref={field}
        type="search"
        role="combobox"
        placeholder="Derivation, job, build, machine"
        aria-label="Search for a derivation, job, build or machine"
        aria-expanded={isOpen}
        aria-controls="search-hits"
        aria-autocomplete="list"
        aria-activedescendant={isOpen && hits.length > 0 ? `hit-${active}` : undefined}
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onKeyDown={press}
      />
      <div class="hits" hidden={!isOpen}>
        <div id="search-hits" role="listbox" aria-label="Hits">
          {(hits ?? []).map((hit, index) => (
            <a
              key={`${hit.kind} ${hit.id}`}
              id={`hit-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === active}
              href={hrefOf(pathOfHit(hit))}
              onMouseDown={(event) => event.preventDefault()}
              onClick={(event) => {
                event.preventDefault();
                go(hit);
              }}
            >
              <span class="kind">{hit.kind}</span> {hit.title} <span class="soft">{hit.detail}</span>
            </a>
          ))}
        </div>
        {hits?.length === 0 ? <p class="empty">Nothing found</p> : null}
      </div>
    </search>
  );
}
