# The package: programs, manual pages and completion.
#
# Each npm package of the lock file is fetched by name and version and checked against the lock file's hash, then unpacked
# where the lock file says. So there is no second hash to keep up to date, and no script of a package runs.
{
  lib,
  stdenv,
  nodejs,
  cacert,
  makeWrapper,
  installShellFiles,
  bzip2,
  nix,
  systemdMinimal ? null,
  util-linux,
  xz,
  zstd,
  src,
}:
let
  manifest = builtins.fromJSON (builtins.readFile (src + "/package.json"));
  lock = builtins.fromJSON (builtins.readFile (src + "/package-lock.json"));

  os = stdenv.hostPlatform.node.platform;
  cpu = stdenv.hostPlatform.node.arch;
  fits = value: allowed: allowed == null || builtins.elem value allowed;
  wanted =
    _: package: fits os (package.os or null) && fits cpu (package.cpu or null) && package ? integrity;
  installed = lib.filterAttrs wanted lock.packages;
  # What the programs load; the rest is needed to build them.
  loaded = lib.filterAttrs (_: package: !(package.dev or false)) installed;

  nameOf = path: package: package.name or (lib.last (lib.splitString "node_modules/" path));

  tarball =
    path: package:
    stdenv.mkDerivation {
      name = "${lib.strings.sanitizeDerivationName (nameOf path package)}-${package.version}.tgz";
      nativeBuildInputs = [
        nodejs
        cacert
      ];
      buildCommand = ''
        export HOME=$TMPDIR SSL_CERT_FILE=${cacert}/etc/ssl/certs/ca-bundle.crt
        npm pack --silent --ignore-scripts ${lib.escapeShellArg "${nameOf path package}@${package.version}"}
        mv -- *.tgz "$out"
      '';
      outputHash = package.integrity;
      outputHashMode = "flat";
      impureEnvVars = lib.fetchers.proxyImpureEnvVars;
    };

  unpack = path: package: ''
    mkdir -p ${lib.escapeShellArg path}
    tar -xzf ${tarball path package} -C ${lib.escapeShellArg path} --strip-components=1 --no-same-permissions
  '';

  # Only of the top level: nothing calls the others by name.
  linkPrograms =
    path: package:
    lib.optionalString (builtins.match "node_modules/(@[^/]+/)?[^/]+" path != null) (
      lib.concatStrings (
        lib.mapAttrsToList (name: file: ''
          chmod +x ${lib.escapeShellArg "${path}/${file}"}
          ln -sf ${lib.escapeShellArg "../${lib.removePrefix "node_modules/" path}/${file}"} node_modules/.bin/${name}
        '') (package.bin or { })
      )
    );

  install = packages: lib.concatStrings (lib.mapAttrsToList unpack packages);

  # `nix` of the host goes first: it must fit the daemon.
  tools = [
    bzip2
    util-linux
    xz
    zstd
  ]
  ++ lib.optional (systemdMinimal != null && stdenv.hostPlatform.isLinux) systemdMinimal;
in
stdenv.mkDerivation {
  pname = manifest.name;
  inherit (manifest) version;
  inherit src;

  nativeBuildInputs = [
    nodejs
    makeWrapper
    installShellFiles
  ];

  configurePhase = ''
    runHook preConfigure
    ${install installed}
    mkdir -p node_modules/.bin
    ${lib.concatStrings (lib.mapAttrsToList linkPrograms installed)}
    patchShebangs --build node_modules/.bin
    runHook postConfigure
  '';

  buildPhase = ''
    runHook preBuild
    export HOME=$TMPDIR
    npm run --offline build
    rm -r node_modules
    ${install loaded}
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    home=$out/lib/node_modules/hydra-runner
    mkdir -p "$home/dist"
    cp -r dist/lib dist/bin "$home/dist/"
    cp -r package.json proto docs ops LICENSE README.md CHANGELOG.md node_modules "$home/"
    for program in queue-runner hydra-builder; do
      makeWrapper ${lib.getExe nodejs} "$out/bin/$program" \
        --add-flags "$home/dist/bin/$program.js" \
        --suffix PATH : ${lib.makeBinPath (tools ++ [ nix ])}
    done
    ln -s queue-runner "$out/bin/hydra-queue-runner"
    installManPage ops/man/*
    for program in hydra-queue-runner hydra-builder; do
      installShellCompletion --cmd "$program" \
        --bash ops/completion/$program.bash --zsh ops/completion/_$program --fish ops/completion/$program.fish
    done
    runHook postInstall
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    for program in queue-runner hydra-queue-runner hydra-builder; do
      "$out/bin/$program" --version
    done
  '';

  meta = {
    inherit (manifest) description;
    license = lib.licenses.mit;
    mainProgram = "hydra-queue-runner";
    platforms = lib.platforms.unix;
  };
}
