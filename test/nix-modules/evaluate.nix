# What a host would get from one of our modules: `module` names it, `services` is JSON for `config.services`.
{
  lib,
  module,
  services ? "{}",
  cores ? null,
}:
let
  inherit (lib) mkOption types;

  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/package/${name}";
  };
  pkgs = {
    xz = package "xz";
    bzip2 = package "bzip2";
    zstd = package "zstd";
    util-linux = package "util-linux";
    openssh = package "openssh";
    coreutils = package "coreutils";
    runtimeShell = "/bin/sh";
  };

  anything = default: mkOption { type = types.anything; inherit default; };
  # The options of a host that our modules set.
  host = {
    options = {
      environment.etc = mkOption {
        default = { };
        type = types.attrsOf (
          types.submodule {
            options = {
              text = mkOption { type = types.str; };
              source = mkOption {
                type = types.str;
                default = "/etc/source";
              };
            };
          }
        );
      };
      environment.systemPackages = mkOption {
        type = types.listOf types.package;
        default = [ ];
      };
      warnings = mkOption {
        type = types.listOf types.str;
        default = [ ];
      };
      systemd.package = mkOption {
        type = types.package;
        default = package "systemd";
      };
      systemd.services = anything { };
      systemd.sockets = anything { };
      systemd.timers = anything { };
      systemd.tmpfiles.rules = mkOption {
        type = types.listOf types.str;
        default = [ ];
      };
      launchd.daemons = anything { };
      users.users = anything { };
      users.groups = anything { };
      users.knownUsers = anything [ ];
      users.knownGroups = anything [ ];
      services.postgresql.identMap = mkOption {
        type = types.str;
        default = "";
      };
      nix.package = mkOption {
        type = types.package;
        default = package "nix";
      };
      nix.settings = anything { };
    };
  };

  parts = builtins.fromJSON services;
  withPackage = builtins.mapAttrs (_: service: { package = package "hydra-runner"; } // service) parts;
  evaluated = lib.evalModules {
    modules = [
      host
      module
      {
        config.services = withPackage;
        config.nix.settings = if cores == null then { } else { inherit cores; };
      }
    ];
    specialArgs = { inherit pkgs; };
  };

  isOption = value: (value._type or null) == "option";
  # Dotted names of all options below a tree, those inside submodules included.
  optionNames =
    prefix: tree:
    builtins.concatLists (
      builtins.attrValues (
        builtins.mapAttrs (
          name: value:
          if isOption value then
            [ "${prefix}${name}" ] ++ subOptions "${prefix}${name}." value.type
          else if builtins.isAttrs value && builtins.substring 0 1 name != "_" then
            optionNames "${prefix}${name}." value
          else
            [ ]
        ) tree
      )
    );
  subOptions = prefix: type: optionNames prefix (type.getSubOptions [ ]);
in
{
  inherit (evaluated) config;
  options = builtins.mapAttrs (_: optionNames "") (
    builtins.intersectAttrs {
      hydra-queue-runner-dev = null;
      hydra-queue-builder-dev = null;
    } evaluated.options.services
  );
}
