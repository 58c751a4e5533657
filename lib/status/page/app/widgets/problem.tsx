/** A problem in words, and where more is said about it. */
import type { JSX } from "preact";
import type { ApiProblem } from "../../../api/types.js";

/** The view that has more about a problem. */
export function problemPath({ part }: ApiProblem): string {
  switch (part) {
    case "uploads":
      return "/uploads";
    case "machines":
      return "/machines";
    case "queue":
      return "/queue";
    default:
      return "/problems";
  }
}

/** What is wrong, of what, why, and what to do. */
export function ProblemText({ problem }: { readonly problem: ApiProblem }): JSX.Element {
  const { part, subject, reason, advice, until } = problem;
  return (
    <span class="problem">
      <span class={until == null ? "mark bad" : "mark none"}>
        <span aria-hidden="true">{until == null ? "▲" : "✓"}</span> {part}
      </span>{" "}
      {subject === "" ? "" : `${subject}: `}
      {reason.replace(/\.$/, "")}. <em>{advice}</em>
    </span>
  );
}
