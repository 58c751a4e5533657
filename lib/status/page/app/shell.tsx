/** What is around every view: header, state of the runner, problems, search, keys. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiOverview, ApiProblem, ApiState } from "../../api/types.js";
import { hrefOf, useAddress } from "./data/address.js";
import { followKeys } from "./data/keys.js";
import { type Link, lastChange, link } from "./data/live.js";
import { type Resource, useResource } from "./data/resource.js";
import { useStore } from "./data/store.js";
import { chooseTheme, theme } from "./data/theme.js";
import { clockText, exactTime } from "./data/words.js";
import { findView, type View, views } from "./views.js";
import { KeyHelp } from "./widgets/key-help.js";
import { Mark, type Tone } from "./widgets/mark.js";
import { ProblemText, problemPath } from "./widgets/problem.js";
import { Search } from "./widgets/search.js";
import { Ago } from "./widgets/time.js";

function Navigation({ path }: { readonly path: string }): JSX.Element {
  return (
    <nav aria-label="Views">
      {views
        .filter(({ key }) => key !== undefined)
        .map(({ pattern, title }) => {
          const isHere = pattern === "/" ? path === "/" : path === pattern || path.startsWith(`${pattern}/`);
          return (
            <a key={pattern} href={hrefOf(pattern)} aria-current={isHere ? "page" : undefined}>
              {title}
            </a>
          );
        })}
    </nav>
  );
}

const stateTones: Readonly<Record<ApiState["state"], Tone>> = {
  active: "good",
  standby: "wait",
  draining: "warn",
  starting: "wait",
  stopping: "warn",
};

function ConnectionText({ connection }: { readonly connection: Link }): JSX.Element | null {
  switch (connection.kind) {
    case "connecting":
      return <span class="soft">connecting…</span>;
    case "live":
    case "polling":
      return <span class="soft">data as of {exactTime(connection.asOf).slice(-8)}</span>;
    case "gone":
      return (
        <strong class="gone-text" role="alert">
          No answer since {exactTime(connection.asOf).slice(-8)}, trying again
        </strong>
      );
  }
}

function Leader({ leader }: { readonly leader: ApiState["leader"] }): JSX.Element {
  if (leader === null) return <> · another runner leads</>;
  return (
    <>
      {" "}
      · {leader.name} leads for <Ago at={leader.since} suffix="" />
    </>
  );
}

function StateLine({
  state,
  version,
}: {
  readonly state: ApiState | undefined;
  readonly version: string | undefined;
}): JSX.Element {
  const connection = useStore(link);
  const chosen = useStore(theme);
  const dark = chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  return (
    <div class="state-line">
      {state === undefined ? null : (
        <span>
          <Mark tone={stateTones[state.state]}>{state.state}</Mark>
          <span class="soft"> since {clockText(state.startedAt, Date.now())}</span>
          {state.state === "standby" ? <Leader leader={state.leader} /> : null}
        </span>
      )}
      <ConnectionText connection={connection} />
      <span class="spacer" />
      {version === undefined ? null : <span class="soft phone-gone">{version}</span>}
      <button type="button" class="quiet" onClick={() => chooseTheme(dark ? "light" : "dark")}>
        {dark ? "Light" : "Dark"}
      </button>
    </div>
  );
}

function Problems({
  problems,
  path,
}: {
  readonly problems: readonly ApiProblem[];
  readonly path: string;
}): JSX.Element | null {
  const open = problems.filter(({ until }) => until == null);
  if (open.length === 0) return null;
  return (
    <ul class="problems" aria-label="Problems">
      {open.slice(0, 4).map((problem) => {
        const target = problemPath(problem);
        return (
          <li key={`${problem.code} ${problem.subject}`}>
            <ProblemText problem={problem} /> <span class="soft">since </span>
            <Ago at={problem.since} suffix="" />
            {target === path ? null : (
              <>
                {" → "}
                <a href={hrefOf(target)}>{target.slice(1)}</a>
              </>
            )}
          </li>
        );
      })}
      {open.length > 4 ? (
        <li key="more">
          <a href={hrefOf("/problems")}>{open.length - 4} more problems</a>
        </li>
      ) : null}
    </ul>
  );
}

/** Screen readers and the keyboard begin at the view's title after the way there. */
function useFocusOnArrival(path: string): void {
  const isFirst = useRef(true);
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    scrollTo(0, 0);
    document.getElementById("view-title")?.focus({ preventScroll: true });
  }, [path]);
}

function titleOf(
  view: View | undefined,
  parts: readonly string[],
  overview: ApiOverview | undefined,
): string {
  const farm = overview?.farmName ?? "Hydra queue runner";
  if (view === undefined) return farm;
  return `${[view.title, ...parts.map((part) => part.replace(/^[0-9a-z]{32}-/, ""))].join(" ")} · ${farm}`;
}

/** The page. */
export function Shell(): JSX.Element {
  const { path } = useAddress();
  const [helpIsOpen, showHelp] = useState(false);
  const overview: Resource<ApiOverview> = useResource("overview", ["overview"]);
  const change = useStore(lastChange);
  const connection = useStore(link);
  const found = findView(path);
  const { view, parts = [] } = found ?? {};
  useFocusOnArrival(path);
  useEffect(() => followKeys({ help: () => showHelp(true) }), []);
  useEffect(() => {
    document.title = titleOf(view, parts, overview.data);
  });
  const state = change ?? overview.data;
  const problems = change?.problems ?? overview.data?.problems ?? [];
  const Content = view?.component;
  return (
    <div class={connection.kind === "gone" ? "page gone" : "page"}>
      <a class="skip" href="#content">
        To the content
      </a>
      <header>
        <div class="bar">
          <a class="brand" href={hrefOf("/")}>
            {overview.data?.farmName ?? "Hydra queue runner"}
          </a>
          <Navigation path={path} />
          <Search />
          <button
            type="button"
            class="quiet phone-gone"
            aria-label="Keys"
            title="Keys"
            onClick={() => showHelp(true)}
          >
            ?
          </button>
        </div>
        <StateLine state={state} version={overview.data?.version} />
        <Problems problems={problems} path={path} />
      </header>
      <main id="content" tabIndex={-1}>
        {Content === undefined ? (
          <p class="notice">
            There is no such view. <a href={hrefOf("/")}>To the overview</a>
          </p>
        ) : (
          <Content key={path} parts={parts} />
        )}
      </main>
      {helpIsOpen ? <KeyHelp close={() => showHelp(false)} /> : null}
    </div>
  );
}
