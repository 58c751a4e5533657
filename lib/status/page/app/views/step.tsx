/** Why does a step run or not, what did it cost, where is its log? */
import type { JSX } from "preact";
import type { ApiStep } from "../../../api/types.js";
import { useResource } from "../data/resource.js";
import { plural, roughSpan } from "../data/words.js";
import type { ViewProps } from "../view-props.js";
import { Blockers } from "../widgets/blockers.js";
import { CopyButton } from "../widgets/copy.js";
import { Facts } from "../widgets/facts.js";
import { DependencyGraph } from "../widgets/graph.js";
import { BuildLink, Link, MachineLink, paths } from "../widgets/link.js";
import { Mark, stepTones } from "../widgets/mark.js";
import { Loaded } from "../widgets/notice.js";
import { Outputs } from "../widgets/outputs.js";
import { Headline, Panel } from "../widgets/panel.js";
import { Since } from "../widgets/time.js";
import { Tries } from "../widgets/tries.js";

function StepFacts({ step }: { readonly step: ApiStep }): JSX.Element {
  const { system, features, builds, usualMs, startedAt, state, drv } = step;
  return (
    <Facts
      facts={[
        ["System", system === null ? "not known" : <Link to={paths.queue({ system })}>{system}</Link>],
        ["Needs", features.join(", ") || "no features"],
        ["Usually takes", usualMs === null ? "not known" : roughSpan(usualMs)],
        ...(state === "running" && startedAt !== null
          ? [["Runs for", <Since at={startedAt} usual={usualMs} />] as const]
          : []),
        [
          "Wanted by",
          builds.length === 0
            ? "no build"
            : builds.map(({ id, job, jobset }, index) => (
                <span key={id}>
                  {index > 0 ? ", " : ""}
                  <BuildLink id={id}>{job}</BuildLink> <span class="soft">{jobset}</span>
                </span>
              )),
        ],
        [
          "Derivation",
          <>
            <span class="mono">{drv}</span> <CopyButton text={drv} what="derivation" />
          </>,
        ],
      ]}
    />
  );
}

/** Machines that could build it, and what keeps each from it. */
function Candidates({ step }: { readonly step: ApiStep }): JSX.Element | null {
  const { machines } = step;
  if (machines.length === 0) return null;
  return (
    <Panel title="Machines that could build it" note={plural(machines.length, "machine")}>
      <ul class="plain">
        {machines.map(({ machine, why }) => (
          <li key={machine}>
            <MachineLink name={machine} /> <span class="soft">{why}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Content({ step }: { readonly step: ApiStep }): JSX.Element {
  const { name, state, words, graph, drv } = step;
  return (
    <>
      <Headline title={name}>
        <Mark tone={stepTones[state]}>{state}:</Mark> {words}.
      </Headline>
      <div class="columns">
        <Panel title="Step">
          <StepFacts step={step} />
        </Panel>
        <Candidates step={step} />
        {step.blockedBy.length === 0 ? null : <Blockers blockers={step.blockedBy} />}
      </div>
      <Tries tries={step.tries} drv={drv} />
      {graph.nodes.length < 2 ? null : (
        <Panel title="Dependencies" note={plural(graph.steps, "step")}>
          <DependencyGraph graph={graph} />
        </Panel>
      )}
      <Outputs outputs={step.outputs} />
    </>
  );
}

/** One step. */
export function Step({ parts: [drv = ""] }: ViewProps): JSX.Element {
  const resource = useResource<ApiStep>(`steps/${encodeURIComponent(drv)}`, ["steps"]);
  return <Loaded resource={resource}>{(step) => <Content step={step} />}</Loaded>;
}
