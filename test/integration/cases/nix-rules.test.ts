// What `nix-build` on a builder's daemon would build, we build; and a daemon that would refuse is not joined with.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { requireTrust } from "../../../lib/builder/machine/daemon-trust.js";
import { readNixConfiguration } from "../../../lib/builder/machine/nix-configuration.js";
import { DaemonStore } from "../../../lib/nix/daemon/daemon-store.js";
import { shellDerivation, startNixStore } from "../../support/nix.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "nix-rules-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("features that Nix adds for experimental features are advertised, and the daemon builds what asks for them", async () => {
  const nix = await startNixStore({
    directory,
    name: "features",
    systemFeatures: ["kvm"],
    extraConf: "extra-experimental-features = recursive-nix",
  });
  try {
    const { systemFeatures } = await readNixConfiguration({ env: nix.env });
    expect([...systemFeatures].sort()).toEqual(["ca-derivations", "kvm", "recursive-nix"]);
    for (const feature of systemFeatures) {
      const expression = shellDerivation(
        feature,
        "echo built > $out",
        `requiredSystemFeatures = [ "${feature}" ];`,
      );
      await nix.run("nix-build", ["--no-out-link", "-E", expression]);
    }
    const other = shellDerivation("other", "echo built > $out", 'requiredSystemFeatures = [ "other" ];');
    await expect(nix.run("nix-build", ["--no-out-link", "-E", other])).rejects.toThrow("other");
  } finally {
    await nix.close();
  }
});

test.each([
  { name: "trusted", trust: "trusted-users = root" },
  { name: "untrusted", trust: "trusted-users = somebody-else" },
] as const)("a daemon that has its client $name", async ({ name, trust }) => {
  const nix = await startNixStore({ directory, name, extraConf: trust });
  const store = await DaemonStore.open({ remote: nix.remote, env: nix.env });
  try {
    const asked = requireTrust(store, new AbortController().signal);
    if (name === "trusted") await asked;
    else await expect(asked).rejects.toMatchObject({ code: "untrusted" });
  } finally {
    await store.close();
    await nix.close();
  }
});
