/** What became of a build, what holds it up? */
import type { JSX } from "preact";
import type { ApiBuild } from "../../../api/types.js";
import { useResource } from "../data/resource.js";
import { bytesText, countText, percentText, plural, spanText } from "../data/words.js";
import type { ViewProps } from "../view-props.js";
import { Action } from "../widgets/action.js";
import { Blockers } from "../widgets/blockers.js";
import { Facts } from "../widgets/facts.js";
import { DependencyGraph } from "../widgets/graph.js";
import { Link, paths, StepLink } from "../widgets/link.js";
import { Mark, type Tone } from "../widgets/mark.js";
import { Loaded } from "../widgets/notice.js";
import { Outputs } from "../widgets/outputs.js";
import { Headline, Panel } from "../widgets/panel.js";
import { At, Since } from "../widgets/time.js";
import { Tries } from "../widgets/tries.js";

function toneOf({ finished, status, steps }: ApiBuild): Tone {
  if (!finished) return steps.running > 0 ? "busy" : "wait";
  return status === 0 ? "good" : status === 3 || status === 4 ? "warn" : "bad";
}

/** Why it failed, and the logs that say more. */
function Failure({ build }: { readonly build: ApiBuild }): JSX.Element | null {
  const { error, failures } = build;
  if (error === null && failures.length === 0) return null;
  return (
    <Panel title="Why it failed" class="failure">
      {error === null ? null : <pre class="error-text">{error}</pre>}
      <ul class="plain">
        {failures.map(({ drv, name, try: failed }) => (
          <li key={`${drv} ${failed.try}`}>
            <Mark tone="bad">{failed.result}</Mark> <StepLink drv={drv} name={name} />
            {failed.machine === null ? "" : ` on ${failed.machine}`}
            {failed.hasLog ? (
              <>
                {" · "}
                <Link to={`${paths.log(drv, failed.try)}?end=1`}>end of its log</Link>
              </>
            ) : null}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function BuildFacts({ build }: { readonly build: ApiBuild }): JSX.Element {
  const { steps, share, startedAt, stoppedAt, usualMs } = build;
  const took =
    startedAt === null ? (
      "not started"
    ) : stoppedAt === null ? (
      <Since at={startedAt} usual={usualMs} />
    ) : (
      spanText(stoppedAt - startedAt)
    );
  return (
    <Facts
      facts={[
        ["Step", <StepLink drv={build.drv} name={build.name} />],
        ["System", build.system],
        [
          "Jobset",
          <Link
            to={paths.queue({ jobset: `${build.project}:${build.jobset}` })}
          >{`${build.project}:${build.jobset}`}</Link>,
        ],
        [
          "Steps",
          `${countText(steps.done)} of ${countText(steps.total)} done, ${countText(steps.running)} running, ${countText(steps.failed)} failed`,
        ],
        ["Queued", <At at={build.queuedAt} />],
        [stoppedAt === null ? "Runs for" : "Took", took],
        [
          "Priority",
          build.globalPriority === 0
            ? countText(build.priority)
            : `${countText(build.priority)}, moved to the front`,
        ],
        ...(share === null
          ? []
          : [
              [
                "Share of its jobset",
                `${percentText(share.got * 100)} got, ${percentText(share.asked * 100)} asked`,
              ] as const,
            ]),
      ]}
    />
  );
}

function Products({ build }: { readonly build: ApiBuild }): JSX.Element | null {
  const { products } = build;
  if (products.length === 0) return null;
  return (
    <Panel title="Products">
      <ul class="plain">
        {products.map(({ type, subtype, name, path, size }) => (
          <li key={path}>
            {name}{" "}
            <span class="soft">{`${type} ${subtype}${size === null ? "" : `, ${bytesText(size)}`}`}</span>{" "}
            <span class="mono">{path}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Content({ build }: { readonly build: ApiBuild }): JSX.Element {
  const { id, job, finished, words, blockedBy, url } = build;
  const path = paths.build(id);
  return (
    <>
      <Headline title={`${job} #${id}`}>
        <Mark tone={toneOf(build)}>{words.charAt(0).toUpperCase() + words.slice(1)}.</Mark>
      </Headline>
      <div class="actions">
        {finished ? null : (
          <>
            <Action title={`Move build ${id} to the front`} path={`${path}/bump`}>
              Its steps are started before those of all other builds.
            </Action>
            <Action title={`Cancel build ${id}`} path={`${path}/cancel`} dangerous>
              Steps that no other build needs are stopped.
            </Action>
          </>
        )}
        {url === null ? null : <a href={url}>In Hydra's front-end</a>}
        <Link to={`/timeline?build=${id}`}>Timeline</Link>
      </div>
      <Failure build={build} />
      <div class="columns">
        {finished ? null : <Blockers blockers={blockedBy} />}
        <Panel title="Build">
          <BuildFacts build={build} />
        </Panel>
      </div>
      <Tries tries={build.tries} drv={build.drv} />
      <Panel title="Dependencies" note={plural(build.graph.steps, "step")}>
        <DependencyGraph graph={build.graph} />
      </Panel>
      <div class="columns">
        <Outputs outputs={build.outputs} />
        <Products build={build} />
      </div>
    </>
  );
}

/** One build. */
export function Build({ parts: [id = ""] }: ViewProps): JSX.Element {
  const resource = useResource<ApiBuild>(`builds/${encodeURIComponent(id)}`, ["builds", "steps"]);
  return <Loaded resource={resource}>{(build) => <Content build={build} />}</Loaded>;
}
