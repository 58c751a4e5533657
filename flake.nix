{
  description = "A queue runner and builder for Hydra";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      linux = builtins.filter (lib.hasSuffix "linux") systems;
      each = names: make: lib.genAttrs names (system: make nixpkgs.legacyPackages.${system});

      # A module whose default package is the one of this flake.
      withPackage =
        service: module:
        { pkgs, ... }:
        {
          imports = [ module ];
          services.${service}.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.default;
        };
    in
    {
      overlays.default = final: _: {
        hydra-runner = final.callPackage ./nix/package.nix { src = self; };
      };

      packages = each systems (pkgs: rec {
        hydra-runner = pkgs.callPackage ./nix/package.nix { src = self; };
        default = hydra-runner;
      });

      nixosModules.queue-runner = withPackage "hydra-queue-runner-dev" ./nix/modules/queue-runner.nix;
      nixosModules.builder = withPackage "hydra-queue-builder-dev" ./nix/modules/builder.nix;
      darwinModules.builder = withPackage "hydra-queue-builder-dev" ./nix/modules/darwin-builder.nix;

      devShells = each systems (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.bzip2
            pkgs.groff
            pkgs.nix
            pkgs.nodejs
            pkgs.openssl
            pkgs.prometheus.cli or pkgs.prometheus
            pkgs.util-linux
            pkgs.xz
            pkgs.zstd
          ];
        };
      });

      formatter = each systems (pkgs: pkgs.nixfmt-rfc-style or pkgs.nixfmt);

      checks = each linux (
        pkgs:
        import ./nix/checks.nix {
          inherit pkgs lib;
          package = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
          modules = self.nixosModules;
        }
      );
    };
}
