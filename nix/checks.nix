# Checks of the flake: the package builds, a NixOS host with both modules evaluates, its configuration files are accepted by
# the programs, and its units by systemd; board and alerts are accepted by Prometheus.
{
  pkgs,
  lib,
  package,
  modules,
}:
let
  host = import (pkgs.path + "/nixos/lib/eval-config.nix") {
    inherit (pkgs.stdenv.hostPlatform) system;
    modules = [
      modules.queue-runner
      modules.builder
      {
        boot.isContainer = true;
        system.stateVersion = lib.trivial.release;
        services.hydra-queue-runner-dev = {
          enable = true;
          minimumDiskFree = 20;
          settings.remoteStoreAddr = [ "s3://cache?region=eu-central-1&compression=zstd" ];
        };
        services.hydra-queue-builder-dev = {
          enable = true;
          queueRunnerAddr = "http://[::1]:50051";
        };
      }
    ];
  };
  inherit (host) config;
  file = name: pkgs.writeText "configuration.toml" config.environment.etc."hydra/${name}.toml".text;
  unitNames = [
    "hydra-queue-runner-dev.service"
    "hydra-queue-runner-dev-rest.socket"
    "hydra-queue-runner-dev-grpc.socket"
    "hydra-queue-runner-check-space.service"
    "hydra-queue-runner-check-space.timer"
    "hydra-queue-builder-dev.service"
  ];
in
{
  inherit package;

  configuration = pkgs.runCommand "configuration" { nativeBuildInputs = [ package ]; } ''
    export LOGNAME=builder HOME=$TMPDIR
    hydra-queue-runner --check-config --config-path ${file "queue-runner"}
    hydra-builder --check-config --config-path ${file "builder"}
    touch $out
  '';

  units = pkgs.runCommand "units" { } ''
    ${lib.concatMapStrings (name: ''
      test -s ${config.systemd.units.${name}.unit}/${name}
    '') unitNames}
    touch $out
  '';

  alerts = pkgs.runCommand "alerts" { nativeBuildInputs = [ pkgs.prometheus.cli or pkgs.prometheus ]; } ''
    promtool check rules ${../ops/prometheus}/hydra-runner.rules.yml
    cd ${../ops/prometheus}
    promtool test rules hydra-runner.test.yml hydra-runner-days.test.yml
    touch $out
  '';
}
