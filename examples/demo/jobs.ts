/**
 * The demo's job set: small derivations of every kind that a queue runner meets, each with its expected result.
 *
 * It does not need nixpkgs: a static busybox is the shell and all tools.
 */

export type Expected = "succeeded" | "failed" | "dependency failed" | "succeeded with failure marker";

export interface Job {
  readonly name: string;
  readonly what: string;
  readonly expected: Expected;
}

export const jobs: readonly Job[] = [
  { name: "diamond-top", what: "needs left and right, both need the base", expected: "succeeded" },
  { name: "fixed", what: "fixed output, flat sha256", expected: "succeeded" },
  { name: "multi", what: "three outputs that refer to each other", expected: "succeeded" },
  { name: "products", what: "build products, metrics, a release name", expected: "succeeded" },
  {
    name: "marked-failed",
    what: "builds, but says nix-support/failed",
    expected: "succeeded with failure marker",
  },
  { name: "broken", what: "fails with a log", expected: "failed" },
  { name: "above-broken", what: "depends on the broken one", expected: "dependency failed" },
  { name: "far-above-broken", what: "two levels above the broken one", expected: "dependency failed" },
  { name: "feature", what: "needs a feature only one builder has", expected: "succeeded" },
  { name: "big", what: "50 MB of output", expected: "succeeded" },
  { name: "chain-4", what: "the end of a chain of four", expected: "succeeded" },
  { name: "wide", what: "joins six independent parts", expected: "succeeded" },
  { name: "diamond-left", what: "a dependency that is a job of its own", expected: "succeeded" },
];

/** An expression for an attribute set from job name to derivation. `system` is a Nix system string. */
export function jobSetExpression(system: string, busybox: string): string {
  return `
let
  sh = name: script: more: derivation ({
    inherit name;
    system = "${system}";
    builder = "/bin/sh";
    args = [ "-c" script ];
    B = "${busybox}";
  } // more);
  base = sh "diamond-base" "echo base; $B sleep 1; echo base > $out" { };
  left = sh "diamond-left" "read x < \${base}; $B sleep 1; echo left $x > $out" { };
  right = sh "diamond-right" "read x < \${base}; $B sleep 1; echo right $x > $out" { };
  broken = sh "broken" "echo compiling; echo 'error: this one is meant to fail' >&2; exit 1" { };
  above = sh "above-broken" "read x < \${broken}; echo $x > $out" { };
  chain1 = sh "chain-1" "echo 1 > $out" { };
  chain2 = sh "chain-2" "read x < \${chain1}; echo $x 2 > $out" { };
  chain3 = sh "chain-3" "read x < \${chain2}; echo $x 3 > $out" { };
  part = n: sh "part-\${toString n}" "$B sleep 0.3; echo \${toString n} > $out" { };
in {
  diamond-top = sh "diamond-top" "read x < \${left}; read y < \${right}; echo $x, $y > $out" { };
  diamond-left = left;
  fixed = sh "fixed" "echo fixed > $out" {
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = builtins.hashString "sha256" "fixed\\n";
  };
  multi = sh "multi" "echo lib > $lib; echo doc > $doc; echo $lib $doc > $out" {
    outputs = [ "out" "lib" "doc" ];
  };
  products = sh "products" ''
    $B mkdir -p $out/nix-support $out/doc
    echo '<h1>Manual</h1>' > $out/doc/index.html
    echo text > $out/notes.txt
    echo "doc manual $out/doc index.html" > $out/nix-support/hydra-build-products
    echo "file text $out/notes.txt" >> $out/nix-support/hydra-build-products
    echo "coverage 87.5 %" > $out/nix-support/hydra-metrics
    echo "demo-1.0" > $out/nix-support/hydra-release-name
  '' { };
  marked-failed = sh "marked-failed" "$B mkdir -p $out/nix-support; $B touch $out/nix-support/failed" { };
  inherit broken;
  above-broken = above;
  far-above-broken = sh "far-above-broken" "read x < \${above}; echo $x > $out" { };
  feature = sh "feature" "echo special > $out" { requiredSystemFeatures = [ "demo-feature" ]; };
  big = sh "big" "$B mkdir $out; $B dd if=/dev/urandom of=$out/noise bs=1M count=50" { };
  chain-4 = sh "chain-4" "read x < \${chain3}; echo $x 4 > $out" { };
  wide = sh "wide" (builtins.concatStringsSep "" (map (n: "$B cat \${part n} >> $out; ") [ 1 2 3 4 5 6 ])) { };
}
`;
}
