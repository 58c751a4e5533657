/**
 * Which trouble of the machine a text of Nix reports. For errors that Nix itself raises around a build; a script's own
 * output is left out as far as Nix quotes it.
 */

/** What a text can report. */
export type MachineTrouble = "daemon" | "untrusted" | "diskFull" | "sandbox";

/** Words of Nix around names that the derivation has chosen: these say nothing about the machine. */
const chosenByDerivation = /executing '|requested impure path|__noChroot|required system or feature/;

const patterns: Readonly<Record<MachineTrouble, RegExp>> = {
  diskFull:
    /(?:: |^)(?:No space left on device|Disk quota exceeded)\W*$|database or disk is full|^note: build failure may have been caused by lack of free disk space/,
  untrusted:
    /not privileged to (?:build|add)|lacks a (?:valid )?signature by a trusted key|not a trusted user|is restricted to trusted users/,
  sandbox:
    /does not support the kernel namespaces|(?:setting up|cannot (?:open|create|set up|enter)|unable to (?:set up|create|make|join)) (?:a |the )?(?:private|new|sandbox|user|mount|network) ?(?:namespace|mount)|unsharing |cloning (?:sandbox|builder)|bind mount from .* failed|pivot_root|cannot (?:change root directory|pivot old root)|unable to load seccomp|'no new privileges' bit|build users group .* (?:has no members|does not exist)|build users are currently in use|(?:setuid|setgid|setgroups) failed|writing to '?\/proc\/[^ ]*_map|mounting '?\/(?:proc|dev|sys)\b|cannot (?:create|delete|kill processes in) cgroup/,
  daemon:
    /connect(?:ing)? to (?:the )?(?:nix[- ])?(?:daemon|socket)|[Cc]onnection (?:refused|reset)|[Bb]roken pipe|unexpected (?:end[- ]of[- ]file|EOF)|daemon disconnected|cannot open connection to remote store/,
};

/** The first trouble that a line of the text reports; undefined when none does. */
export function machineTroubleIn(text: string): MachineTrouble | undefined {
  if (chosenByDerivation.test(text)) return undefined;
  // Nix puts lines of a build's log behind `>`.
  const lines = text.split("\n").filter((line) => !/^\s*>/.test(line));
  for (const trouble of ["diskFull", "untrusted", "sandbox", "daemon"] as const) {
    if (lines.some((line) => patterns[trouble].test(line))) return trouble;
  }
  return undefined;
}
