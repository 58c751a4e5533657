# Command line of the builder that the options ask for.
{ lib, cfg }:
[
  "${cfg.package}/bin/hydra-builder"
]
++ lib.concatMap (address: [
  "--gateway-endpoint"
  address
]) ([ cfg.queueRunnerAddr ] ++ cfg.fallbackQueueRunnerAddrs)
++ [
  "--config-path"
  "/etc/hydra/builder.toml"
]
++ lib.optionals (cfg.authorizationFile != null) [
  "--authorization-file"
  (toString cfg.authorizationFile)
]
++ lib.optionals (cfg.mtls != null) [
  "--server-root-ca-cert-path"
  cfg.mtls.serverRootCaCertPath
  "--client-cert-path"
  cfg.mtls.clientCertPath
  "--client-key-path"
  cfg.mtls.clientKeyPath
  "--domain-name"
  cfg.mtls.domainName
]
