# Options of the builder that NixOS and nix-darwin share. Their names are those of Hydra's own module.
{
  lib,
  buildCores ? 0,
}:
let
  inherit (lib) mkOption mkEnableOption types;
  file = description: mkOption { type = types.singleLineStr; inherit description; };
in
{
  enable = mkEnableOption "the builder of Hydra's queue runner";

  package = mkOption {
    type = types.package;
    description = "The package with `bin/hydra-builder`.";
  };

  queueRunnerAddr = mkOption {
    type = types.singleLineStr;
    description = "Address of the queue runner: `http://…`, `https://…` or `unix://<path>`.";
  };

  fallbackQueueRunnerAddrs = mkOption {
    type = types.listOf types.singleLineStr;
    default = [ ];
    description = "More addresses, tried in turn until one accepts this builder. Hydra's own module does not have this option.";
  };

  settings = mkOption {
    default = { };
    description = "Keys of `builder.toml`. Null leaves a key out.";
    type = types.submodule {
      options = import ../settings-options.nix {
        inherit lib;
        table = builtins.fromJSON (builtins.readFile ../options/builder.json);
        defaults = {
          useSubstitutes = true;
          inherit buildCores;
        };
      };
    };
  };

  authorizationFile = mkOption {
    type = types.nullOr types.path;
    default = null;
    description = "File with the bearer token for the runner.";
  };

  mtls = mkOption {
    default = null;
    description = "TLS with a client certificate.";
    type = types.nullOr (
      types.submodule {
        options = {
          serverRootCaCertPath = file "CA certificate that the runner's certificate must be signed by (PEM).";
          clientCertPath = file "Certificate of this builder (PEM).";
          clientKeyPath = file "Private key of this builder (PEM).";
          domainName = file "Host name that the runner's certificate must be valid for.";
        };
      }
    );
  };
}
