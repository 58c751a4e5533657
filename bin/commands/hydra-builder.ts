/** Command line of the builder: its options, and what help and manual say about it. */
import { Command } from "commander";
import { type CommonFlags, withCommonOptions } from "./common-options.js";
import { defaultGateway } from "./default-gateway.js";
import type { ProgramTexts } from "./program-texts.js";

/** Values of the builder's options. */
export interface BuilderFlags extends CommonFlags {
  readonly gatewayEndpoint: readonly string[];
  readonly serverRootCaCertPath?: string;
  readonly clientCertPath?: string;
  readonly clientKeyPath?: string;
  readonly domainName?: string;
  readonly authorizationFile?: string;
}

/** What help and manual say about the builder. */
export const builderTexts: ProgramTexts = {
  environment: [
    ["NIX_REMOTE", "where the Nix daemon is"],
    ["PATH", "must have nix, which reports systems and features; systemd-notify under systemd"],
    ["LOG_LEVEL, RUST_LOG", "log filter, for example info or hydra_builder=debug,info"],
    ["LOG_FORMAT", "text (default), or json: one object per line"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_…", "where OpenTelemetry traces of builds go; not set: nowhere"],
    ["NOTIFY_SOCKET, WATCHDOG_USEC", "messages to the service manager"],
  ],
  exitCodes: [
    ["0", "stopped by a signal, or asked only to print or check something"],
    ["1", "the runner could not be reached for reconnectTimeoutInS, or another failure"],
    ["2", "one line on standard error: a wrong option or setting, or no nix-daemon that answers"],
    ["65", "the runner does not accept the API version of this builder"],
  ],
  signals: [
    ["SIGUSR1, SIGUSR2", "log more, log less"],
    [
      "SIGTERM, SIGINT",
      "refuse new builds, give running ones drainTimeoutInS, exit with 0; a second one does not wait",
    ],
    ["SIGHUP", "read the settings again, all or nothing; the runner learns of them when the builder rejoins"],
  ],
  files: [["/etc/hydra/builder.toml", "configuration file of the unit that comes with the package"]],
  configPage: "hydra-builder.toml",
};

/** The builder's command line. */
export function builderCommand(): Command {
  const command = new Command("hydra-builder")
    .description("Builds on this machine what a Hydra queue runner assigns to it.")
    .option(
      "-g, --gateway-endpoint <address>",
      `queue runner: http://…, https://… or unix://<path>; repeat to give alternatives (default: ${defaultGateway})`,
      (value: string, before: readonly string[]) => [...before, value],
      [],
    )
    .option(
      "--server-root-ca-cert-path <file>",
      "CA certificate that the runner's certificate must be signed by (PEM)",
    )
    .option("--client-cert-path <file>", "TLS client certificate of this builder (PEM)")
    .option("--client-key-path <file>", "private key for --client-cert-path (PEM)")
    .option("--domain-name <name>", "host name that the runner's certificate must be valid for")
    .option("--authorization-file <file>", "file with the bearer token for the runner");
  return withCommonOptions(command, builderTexts);
}
