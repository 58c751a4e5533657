/** Texts of operators and of the machine: configuration files, addresses, log filters, `/proc`, journals. */
import { parseCacheUri } from "../../../lib/binary-cache/index.js";
import { parseNixConfiguration } from "../../../lib/builder/machine/nix-configuration.js";
import * as proc from "../../../lib/builder/machine/proc-formats.js";
import { checkText } from "../../../lib/config/check-text.js";
import { builderSettings, parseLogFilter, queueRunnerSettings } from "../../../lib/config/index.js";
import { parseStoreUri } from "../../../lib/nix/index.js";
import { parseEndpoint, parseListenAddress } from "../../../lib/rpc/index.js";
import { assert, type FuzzTarget } from "../target.js";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
const bytes = (value: string): Uint8Array => Buffer.from(value, "utf8");

function textTarget(name: string, seeds: readonly string[], run: (input: string) => void): FuzzTarget {
  return { name, seeds: seeds.map(bytes), run: (input) => run(text(input)) };
}

const runnerToml = `hydraDataDir = "/tmp/hydra"
dbUrl = "postgres://hydra@localhost/hydra"
maxDbConnections = 12
remoteStoreAddr = ["s3://cache?region=eu-west-1&secret-key=/etc/key&compression=zstd", "file:///tmp/cache"]
usePresignedUploads = false
retryInterval = 1
retryBackoff = 3.0
stepSortFn = "WithRdeps"
tokenPaths = ["/run/token"]
`;
const builderToml = `maxJobs = 4
speedFactor = 1.5
systems = ["x86_64-linux", "i686-linux"]
supportedFeatures = ["kvm"]
useSubstitutes = true
`;

export const textTargets: readonly FuzzTarget[] = [
  textTarget("queue-runner.toml", [runnerToml], (input) => {
    assert(typeof checkText("config.toml", input, queueRunnerSettings) === "object", "no values");
  }),
  textTarget("builder.toml", [builderToml], (input) => {
    assert(typeof checkText("config.toml", input, builderSettings) === "object", "no values");
  }),
  textTarget(
    "cache-uri",
    [
      "s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000&compression=zstd&parallel-compression=true&multipart-upload=1",
      "file:///var/cache/nix?compression=xz&write-nar-listing=1",
    ],
    (input) => {
      assert(parseCacheUri(input) !== undefined, "nothing");
    },
  ),
  textTarget("store-uri", ["daemon", "unix:///tmp/socket?root=/tmp/root", "local?store=/x"], (input) => {
    assert(parseStoreUri(input, {}) !== undefined, "nothing");
  }),
  textTarget(
    "endpoint",
    ["http://[::1]:50051", "https://runner.example:443", "unix:///run/runner.sock"],
    (input) => {
      assert(parseEndpoint(input, undefined) !== undefined, "nothing");
    },
  ),
  textTarget("listen-address", ["[::1]:8080", "127.0.0.1:0", "/run/grpc.sock"], (input) => {
    assert(parseListenAddress(input) !== undefined, "nothing");
  }),
  textTarget("log-filter", ["info,queue_runner=debug,hydra_builder::x=trace"], (input) => {
    parseLogFilter(input);
  }),
  textTarget(
    "proc",
    [
      "0.42 0.36 0.30 2/1234 5678\n",
      "MemTotal:       24576000 kB\nMemAvailable:   20000000 kB\n",
      "processor\t: 0\nbogomips\t: 5200.00\n\nprocessor\t: 1\nbogomips\t: 5200.00\n",
      "some avg10=0.00 avg60=1.20 avg300=0.30 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ],
    (input) => {
      proc.parseLoadAverage(input);
      proc.parseMemoryInfo(input);
      proc.parseCpuInfo(input);
      proc.parsePressureLine(input, "some");
      proc.parsePressureLine(input, "full");
    },
  ),
  textTarget(
    "nix-configuration",
    [
      '{"system":{"value":"x86_64-linux"},"extra-platforms":{"value":["i686-linux"]},"system-features":{"value":["kvm"]},"substituters":{"value":["https://cache.example"]}}',
    ],
    (input) => {
      parseNixConfiguration(input, "2.26.3");
    },
  ),
];
