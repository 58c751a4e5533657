# NixOS module of the builder. Option and unit names are those of Hydra's own module, so that a host changes only its
# import.
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
in
{
  options.services.hydra-queue-builder-dev = import ./builder-options.nix {
    inherit lib;
    buildCores = config.nix.settings.cores or 0;
  };

  config = lib.mkIf cfg.enable {
    environment.etc."hydra/builder.toml".text = import ../to-toml.nix cfg.settings;
    environment.systemPackages = [ cfg.package ];

    systemd.services.${name} = {
      description = "Hydra builder";
      requires = [ "nix-daemon.socket" ];
      after = [ "network.target" ];
      wantedBy = [ "multi-user.target" ];
      # Unlike Hydra's own builder this one reloads, which costs no running build.
      reloadTriggers = [ config.environment.etc."hydra/builder.toml".source ];
      path = [
        config.nix.package
        pkgs.xz
        pkgs.bzip2
        pkgs.zstd
        config.systemd.package
      ];
      environment = {
        NIX_REMOTE = "daemon";
        HOME = "/run/${user}";
        # About 10 MB less: without it each thread keeps memory for itself.
        MALLOC_ARENA_MAX = "2";
      };
      serviceConfig = import ../hardening.nix // {
        Type = "notify";
        NotifyAccess = "all";
        Restart = "always";
        RestartSec = "5s";
        TimeoutStartSec = "infinity";
        TimeoutStopSec = cfg.settings.drainTimeoutInS + 60;
        User = user;
        Group = "hydra";
        ExecStart = lib.escapeShellArgs (import ./builder-arguments.nix { inherit lib cfg; });
        ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
        LimitNOFILE = 65536;
        UMask = "0077";
        RuntimeDirectory = user;
        ReadWritePaths = [
          "/nix/var/nix/gcroots/"
          "/nix/var/nix/daemon-socket/socket"
        ];
      };
    };

    systemd.tmpfiles.rules = [
      "d /nix/var/nix/gcroots/per-user/${user} 0755 ${user} hydra -"
    ];

    users.groups.hydra = { };
    users.users.${user} = {
      isSystemUser = true;
      group = "hydra";
      description = "Hydra builder";
    };
    nix.settings.trusted-users = [ user ];
    nix.settings.extra-experimental-features = [ "nix-command" ];
  };
}
