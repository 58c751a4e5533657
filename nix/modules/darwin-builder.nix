# nix-darwin module of the builder. Option names are those of Hydra's own module, so that a host changes only its import.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.hydra-queue-builder-dev;
  name = "hydra-queue-builder-dev";
  user = "hydra-queue-builder";
  home = "/var/lib/${user}";
in
{
  options.services.hydra-queue-builder-dev = import ./builder-options.nix { inherit lib; } // {
    logFile = lib.mkOption {
      type = lib.types.path;
      default = "/var/log/hydra-queue-builder.log";
      description = "File that the log is appended to.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.etc."hydra/builder.toml".text = import ../to-toml.nix cfg.settings;
    environment.systemPackages = [ cfg.package ];

    launchd.daemons.${name} = {
      script = "exec ${lib.escapeShellArgs (import ./builder-arguments.nix { inherit lib cfg; })}";
      path = [
        config.nix.package
        pkgs.xz
        pkgs.bzip2
        pkgs.zstd
      ];
      environment = {
        NIX_REMOTE = "daemon";
        HOME = home;
      };
      serviceConfig = {
        Label = name;
        UserName = user;
        GroupName = "hydra";
        WorkingDirectory = home;
        RunAtLoad = true;
        KeepAlive = true;
        # After SIGTERM launchd kills what has not ended within this time.
        ExitTimeOut = cfg.settings.drainTimeoutInS + 60;
        StandardOutPath = toString cfg.logFile;
        StandardErrorPath = toString cfg.logFile;
        SoftResourceLimits.NumberOfFiles = 65536;
      };
    };

    users.knownUsers = [ user ];
    users.knownGroups = [ "hydra" ];
    users.users.${user} = {
      uid = 535;
      gid = 535;
      inherit home;
      createHome = true;
      shell = "/bin/bash";
      description = "Hydra builder";
    };
    users.groups.hydra = {
      gid = 535;
      description = "Hydra";
      members = [ user ];
    };
    nix.settings.trusted-users = [ user ];
    nix.settings.extra-experimental-features = [ "nix-command" ];
  };
}
