// Where our pair does something else than the recorded one, on purpose.
import type { Row } from "../../support/hydra-tables.js";
import type { NormalForm } from "./normal-form.js";

export interface Difference {
  readonly name: string;
  /** Names of recorded cases in which it shows. */
  readonly cases: readonly string[];
  /** What the recorded pair does, what ours does, and why. */
  readonly recorded: string;
  readonly ours: string;
  readonly reason: string;
  /** Makes of what was recorded what we do instead. */
  adapt(recorded: NormalForm): NormalForm;
}

/** Replaces cells of the rows of one table that `select` chooses. */
function withCells(
  form: NormalForm,
  table: keyof NormalForm["rows"],
  select: (row: Row) => boolean,
  cells: (row: Row) => Row,
): NormalForm {
  const rows = form.rows[table].map((row) => (select(row) ? { ...row, ...cells(row) } : row));
  return { ...form, rows: { ...form.rows, [table]: rows } };
}

function withNotifications(
  form: NormalForm,
  change: (all: readonly string[]) => readonly string[],
): NormalForm {
  return { ...form, notifications: [...change(form.notifications)].sort() };
}

const drvName = (step: Row): string => String(step.drvpath).replace(/^.*\//, "");

function withErrors(form: NormalForm, text: (step: Row) => string): NormalForm {
  return withCells(
    form,
    "BuildSteps",
    (step) => step.errormsg !== null,
    (step) => ({ errormsg: text(step) }),
  );
}

export const differences: readonly Difference[] = [
  {
    name: "build_started once for each build",
    cases: ["diamond", "content-addressed", "content-addressed-cutoff", "deferred", "builder-lost"],
    recorded: "`build_started` is sent anew for each step of a build that is handed out.",
    ours: "It is sent once, with the first step; a restarted build is announced again.",
    reason:
      "Plug-ins of hydra-notify run at each of them: a build of a thousand steps set a commit status a thousand times.",
    adapt: (form) => withNotifications(form, (all) => [...new Set(all)]),
  },
  {
    name: "build_started for every build of a derivation",
    cases: ["same-derivation-twice"],
    recorded: "Of two builds of one derivation only the one that has the step row is announced as started.",
    ours: "Both are.",
    reason: "Plug-ins that show a build as pending or running otherwise never hear of the second one.",
    adapt: (form) => withNotifications(form, (all) => [...all, "build_started 2"]),
  },
  {
    name: "a failed build is named once",
    cases: [
      "fixed-output-mismatch",
      "failure",
      "dependency-failure",
      "cached-failure",
      "timeout",
      "silent",
      "unsupported-system",
      "unsupported-feature",
    ],
    recorded: "`build_finished` of a failure names the build twice: as the build, and among its dependents.",
    ours: "The dependents are the other builds.",
    reason: "Mails and commit statuses list the dependents; the build itself is none.",
    adapt: (form) =>
      withNotifications(form, (all) =>
        all.map((one) => one.replace(/^build_finished (\d+) \1\b/, "build_finished $1")),
      ),
  },
  {
    name: "error messages",
    cases: ["failure", "dependency-failure"],
    recorded: "`errormsg` is a generic sentence around the daemon's status.",
    ours: "The same fact in fewer words; the log is where the reason is.",
    reason: "The front-end prints the message beside the step; it shall say what is known, in one line.",
    adapt: (form) => withErrors(form, (step) => `${drvName(step)} failed; see the log`),
  },
  {
    name: "error message of a timeout",
    cases: ["timeout", "silent"],
    recorded: "As above.",
    ours: "As above.",
    reason: "As above.",
    adapt: (form) => withErrors(form, (step) => `${drvName(step)} timed out; see the log`),
  },
  {
    name: "error message of a wrong hash",
    cases: ["fixed-output-mismatch"],
    recorded:
      "The message says that an output was rejected, and sends the reader to a log that does not say why.",
    ours: "The message holds both hashes.",
    reason:
      "They are what the reader needs to mend the derivation, and the daemon tells them only in its answer.",
    adapt: (form) =>
      withErrors(
        form,
        (step) =>
          `${drvName(step)} produced an output that Nix rejected: hash mismatch in fixed-output derivation '${String(step.drvpath)}': specified: sha256-LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE= got: sha256-fk+i64x6wIlznV3vxEifrWihANkggso1xrQKRSSCH4c=`,
      ),
  },
  {
    name: "failures are remembered",
    cases: ["fixed-output-mismatch", "failure", "dependency-failure"],
    recorded: "`FailedPaths` is read, but nothing writes it any more.",
    ours: "Outputs of a derivation that failed for good are written there.",
    reason: "The front-end's page of failed paths and its restart are made for it; the C++ runner wrote it.",
    adapt: (form) => {
      const paths = new Set(form.rows.BuildStepOutputs.map(({ path }) => path));
      return { ...form, rows: { ...form.rows, FailedPaths: [...paths].map((path = null) => ({ path })) } };
    },
  },
  {
    name: "what failed before is not built again",
    cases: ["cached-failure"],
    recorded: "A derivation that failed is built again with each new build that needs it.",
    ours: "The new build fails at once; its step row has status 8 and names the build that failed first. A restart by the front-end forgets the failure.",
    reason: "As above: nothing changed, so nothing else can come of it but work.",
    adapt: (form) => {
      const built = withCells(
        form,
        "BuildSteps",
        () => true,
        () => ({
          status: 8,
          errormsg: null,
          machine: "",
          propagatedfrom: "another build",
          starttime: null,
          stoptime: null,
        }),
      );
      const cached = withCells(
        built,
        "Builds",
        () => true,
        () => ({ iscachedbuild: 1 }),
      );
      const FailedPaths = form.rows.BuildStepOutputs.map(({ path = null }) => ({ path }));
      return withNotifications({ ...cached, rows: { ...cached.rows, FailedPaths } }, (all) =>
        all.filter((one) => one.startsWith("build_finished")),
      );
    },
  },
  {
    name: "early cut-off builds nothing",
    cases: ["content-addressed-cutoff"],
    recorded:
      "The step that another one resolved to is sent to a builder although its output is known and valid.",
    ours: "Nothing is sent. The row of the resolved step says that the output was there (type 1), and the build counts as cached.",
    reason: "Not building again what is there is what content-addressed derivations are for.",
    adapt: (form) => {
      const resolved = (row: Row): boolean => String(row.stepnr).endsWith("-cab.drv 1") && row.status === 0;
      const withRow = withCells(form, "BuildSteps", resolved, () => ({
        type: 1,
        machine: "",
        overhead: null,
        system: null,
      }));
      const cached = withCells(
        withRow,
        "Builds",
        () => true,
        () => ({ iscachedbuild: 1 }),
      );
      return withNotifications(cached, (all) => all.filter((one) => !/^step_\w+ 1 \w+-cab\.drv/.test(one)));
    },
  },
];

/** What we should do in a recorded case. */
export function adapted(name: string, recorded: NormalForm): NormalForm {
  return differences
    .filter((difference) => difference.cases.includes(name))
    .reduce((form, difference) => difference.adapt(form), recorded);
}
