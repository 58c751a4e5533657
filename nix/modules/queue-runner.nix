# NixOS module of the queue runner. Option and unit names are those of Hydra's own module, so that a host changes only its
# import; what is added is said at the option.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption mkEnableOption types;

  cfg = config.services.hydra-queue-runner-dev;
  name = "hydra-queue-runner-dev";
  user = "hydra-queue-runner";
  dataDir = cfg.settings.hydraDataDir;
  underVarLib = lib.hasPrefix "/var/lib/" dataDir;
  sockets = [
    "${name}-rest.socket"
    "${name}-grpc.socket"
  ];

  socketDirectory = builtins.match ".*%2Frun%2Fpostgresql:([0-9]+).*" cfg.settings.dbUrl;

  file = description: mkOption { type = types.singleLineStr; inherit description; };

  listener = purpose: port: {
    address = mkOption {
      type = types.singleLineStr;
      default = "[::1]";
      description = "Address of the ${purpose}, as in `ListenStream=`.";
    };
    port = mkOption {
      type = types.port;
      default = port;
      description = "Port of the ${purpose}.";
    };
  };

  socket = which: {
    description = "Hydra queue runner, ${which} socket";
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "${cfg.${which}.address}:${toString cfg.${which}.port}" ];
    socketConfig = {
      FileDescriptorName = which;
      Service = "${name}.service";
    };
  };

  tlsFlags = lib.optionals (cfg.mtls != null) [
    "--server-cert-path"
    cfg.mtls.serverCertPath
    "--server-key-path"
    cfg.mtls.serverKeyPath
    "--client-ca-cert-path"
    cfg.mtls.clientCaCertPath
  ];

  otelEnvironment = lib.optionalAttrs cfg.otel.enable (
    lib.filterAttrs (_: value: value != null) {
      OTEL_EXPORTER_OTLP_ENDPOINT =
        if cfg.otel.endpoint == null then "http://localhost:4318" else cfg.otel.endpoint;
      OTEL_EXPORTER_OTLP_PROTOCOL = cfg.otel.protocol;
      OTEL_EXPORTER_OTLP_HEADERS = cfg.otel.headers;
      OTEL_SERVICE_NAME = cfg.otel.serviceName;
    }
    // cfg.otel.extraEnv
  );
in
{
  options.services.hydra-queue-runner-dev = {
    enable = mkEnableOption "the queue runner of Hydra";

    package = mkOption {
      type = types.package;
      description = "The package with `bin/hydra-queue-runner`.";
    };

    settings = mkOption {
      default = { };
      description = "Keys of `queue-runner.toml`. Null leaves a key out. The file is readable by all users of the host.";
      type = types.submodule {
        options = import ../settings-options.nix {
          inherit lib;
          table = builtins.fromJSON (builtins.readFile ../options/queue-runner.json);
          defaults = {
            hydraDataDir = "/var/lib/hydra";
            machineSortFn = "SpeedFactorOnly";
          };
        };
      };
    };

    grpc = listener "listener for builders" 50051;
    rest = listener "status API" 8080;

    mtls = mkOption {
      default = null;
      description = "TLS with client certificates on the listener for builders.";
      type = types.nullOr (
        types.submodule {
          options = {
            serverCertPath = file "Certificate chain of the server (PEM).";
            serverKeyPath = file "Private key of the server (PEM).";
            clientCaCertPath = file "CA certificate that client certificates must be signed by (PEM).";
          };
        }
      );
    };

    minimumDiskFree = mkOption {
      type = types.int;
      default = 0;
      description = "The runner is stopped while the disk of the store has less free than this, and started again 10 GiB above it. Unit: GiB. (0: never)";
    };

    awsCredentialsFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      description = "File with the credentials of S3.";
    };

    environmentFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      description = "File with more variables, for example `HYDRA_DATABASE_URL` with a password. Hydra's own module does not have this option.";
    };

    otel = {
      enable = mkEnableOption "traces to an OpenTelemetry collector";
      endpoint = mkOption {
        type = types.nullOr types.singleLineStr;
        default = null;
        description = "Address of the collector (`OTEL_EXPORTER_OTLP_ENDPOINT`).";
      };
      protocol = mkOption {
        type = types.nullOr (
          types.enum [
            "grpc"
            "http/protobuf"
            "http/json"
          ]
        );
        default = null;
        description = "`OTEL_EXPORTER_OTLP_PROTOCOL`.";
      };
      headers = mkOption {
        type = types.nullOr types.singleLineStr;
        default = null;
        description = "`OTEL_EXPORTER_OTLP_HEADERS`. Readable by all users of the host.";
      };
      serviceName = mkOption {
        type = types.nullOr types.singleLineStr;
        default = null;
        description = "`OTEL_SERVICE_NAME`.";
      };
      extraEnv = mkOption {
        type = types.attrsOf types.singleLineStr;
        default = { };
        description = "More variables of OpenTelemetry.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    warnings = lib.optional (builtins.match ".*://[^/@]*:[^/@]*@.*" cfg.settings.dbUrl != null) ''
      services.${name}.settings.dbUrl has a password, and every user of this host can read the file that it is written to.
      Set HYDRA_DATABASE_URL in services.${name}.environmentFile instead.
    '';

    environment.etc."hydra/queue-runner.toml".text = import ../to-toml.nix cfg.settings;
    environment.systemPackages = [ cfg.package ];

    systemd.services.${name} = {
      description = "Hydra queue runner";
      requires = [ "nix-daemon.socket" ] ++ sockets;
      after = [
        "hydra-init.service"
        "network.target"
      ];
      wantedBy = [ "multi-user.target" ];
      reloadTriggers = [ config.environment.etc."hydra/queue-runner.toml".source ];
      # A cache that is not S3 or a folder is filled by nix; the lock is taken by flock, messages go by systemd-notify.
      path = [
        config.nix.package
        pkgs.xz
        pkgs.bzip2
        pkgs.zstd
        pkgs.util-linux
        pkgs.openssh
        config.systemd.package
      ];
      environment = {
        NIX_REMOTE = "daemon";
        HOME = "/run/${user}";
        # About 10 MB less: without it each thread keeps memory for itself.
        MALLOC_ARENA_MAX = "2";
      }
      // lib.optionalAttrs (cfg.awsCredentialsFile != null) {
        AWS_SHARED_CREDENTIALS_FILE = toString cfg.awsCredentialsFile;
      }
      // otelEnvironment;
      # The database may be away at the start; the runner waits for it.
      serviceConfig = import ../hardening.nix // {
        Type = "notify";
        NotifyAccess = "all";
        Restart = "always";
        RestartSec = "5s";
        TimeoutStartSec = "infinity";
        TimeoutStopSec = cfg.settings.drainTimeoutInS + 80;
        WatchdogSec = 60;
        User = user;
        Group = "hydra";
        ExecStart = lib.escapeShellArgs (
          [
            "${cfg.package}/bin/hydra-queue-runner"
            "--rest-bind"
            "-"
            "--grpc-bind"
            "-"
            "--config-path"
            "/etc/hydra/queue-runner.toml"
          ]
          ++ tlsFlags
        );
        ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
        LimitNOFILE = 65536;
        UMask = "0022";
        RuntimeDirectory = user;
        ReadWritePaths = [
          "/nix/var/nix/gcroots/"
          "/nix/var/nix/daemon-socket/socket"
          "${dataDir}/build-logs/"
          "${dataDir}/queue-runner/"
        ]
        ++ lib.optional (
          socketDirectory != null
        ) "/run/postgresql/.s.PGSQL.${builtins.head socketDirectory}";
      }
      // lib.optionalAttrs underVarLib {
        StateDirectory = "${lib.removePrefix "/var/lib/" dataDir}/queue-runner";
        StateDirectoryMode = "0700";
      }
      // lib.optionalAttrs (cfg.environmentFile != null) { EnvironmentFile = cfg.environmentFile; };
    };

    systemd.sockets = {
      "${name}-rest" = socket "rest";
      "${name}-grpc" = socket "grpc";
    };

    systemd.services.hydra-queue-runner-check-space = lib.mkIf (cfg.minimumDiskFree > 0) {
      description = "Stop the Hydra queue runner while the disk of the Nix store is full";
      path = [
        pkgs.coreutils
        config.systemd.package
      ];
      environment = {
        MINIMUM_FREE_GIB = toString cfg.minimumDiskFree;
        UNITS = lib.concatStringsSep " " (sockets ++ [ "${name}.service" ]);
        FLAG = "/var/lib/hydra/.${name}-stopped-minspace";
      };
      serviceConfig = {
        Type = "oneshot";
        ExecStart = "${pkgs.runtimeShell} ${../../ops/check-space.sh}";
      };
    };
    systemd.timers.hydra-queue-runner-check-space = lib.mkIf (cfg.minimumDiskFree > 0) {
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnBootSec = "5min";
        OnUnitActiveSec = "5min";
      };
    };

    systemd.tmpfiles.rules = [
      "d /nix/var/nix/gcroots/per-user/${user} 0755 ${user} hydra -"
      "d ${dataDir}/build-logs/ 0755 ${user} hydra -"
      "d ${dataDir}/queue-runner 0700 ${user} hydra -"
    ];

    users.groups.hydra = { };
    users.users.${user} = {
      isSystemUser = true;
      group = "hydra";
      home = "${dataDir}/queue-runner";
      description = "Hydra queue runner";
    };
    nix.settings.trusted-users = [ user ];
    services.postgresql.identMap = "hydra-users ${user} hydra";
  };
}
