# Stands in for nixpkgs' lib where that is not installed: what the modules use of it, strict where it is strict (unknown
# options, wrong types, missing values and conflicts are errors). Where nixpkgs is found the tests run with its lib as well.
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatMap
    filter
    foldl'
    head
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    match
    replaceStrings
    stringLength
    substring
    ;

  isOption = value: isAttrs value && (value._type or null) == "option";
  isIf = value: isAttrs value && (value._type or null) == "if";
  show = path: builtins.concatStringsSep "." path;

  # Conditions move inwards, so that the names of what is defined never depend on them.
  names = definition: if isIf definition then names definition.content else attrNames definition;
  part =
    definition: name:
    if isIf definition then
      map (content: definition // { inherit content; }) (part definition.content name)
    else if definition ? ${name} then
      [ definition.${name} ]
    else
      [ ];
  discharged =
    definition:
    if !isIf definition then
      [ definition ]
    else if definition.condition then
      discharged definition.content
    else
      [ ];

  build =
    path: tree: definitions:
    if isOption tree then
      let
        defined = concatMap discharged definitions;
        values =
          if defined != [ ] then
            defined
          else if tree ? default then
            [ tree.default ]
          else
            throw "The option `${show path}' was accessed but has no value defined.";
      in
      merge tree.type path values
    else
      let
        unknown = filter (name: !(tree ? ${name})) (concatMap names definitions);
      in
      if unknown != [ ] then
        throw "The option `${show (path ++ [ (head unknown) ])}' does not exist."
      else
        mapAttrs (
          name: child: build (path ++ [ name ]) child (concatMap (one: part one name) definitions)
        ) tree;

  merge =
    type: path: values:
    let
      wrong = filter (value: !type.check value) values;
    in
    if wrong != [ ] then
      throw "A definition for option `${show path}' is not of type `${type.name}': ${
        builtins.toJSON (head wrong)
      }"
    else
      type.merge path values;

  one =
    path: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option `${show path}' has conflicting definition values.";
  scalar = name: check: {
    inherit name check;
    merge = one;
    getSubOptions = _: { };
  };
  isNumber = value: isInt value || isFloat value;
  within = low: high: value: value >= low && value <= high;
  # A name whose definitions are all conditional and off is left out.
  attrsMerge =
    element: path: values:
    let
      definitions = name: concatMap discharged (concatMap (value: part value name) values);
      present = filter (name: definitions name != [ ]) (concatMap names values);
    in
    listToAttrs (
      map (name: {
        inherit name;
        value = element (path ++ [ name ]) (definitions name);
      }) present
    );

  types = {
    bool = scalar "boolean" isBool;
    int = scalar "signed integer" isInt;
    number = scalar "number" isNumber;
    str = scalar "string" isString;
    singleLineStr = scalar "single-line string" (
      value: isString value && replaceStrings [ "\n" ] [ "" ] value == value
    );
    path = scalar "absolute path" (
      value: isPath value || (isString value && substring 0 1 value == "/")
    );
    package = scalar "package" (value: (value.type or null) == "derivation");
    port = scalar "16 bit port" (value: isInt value && within 0 65535 value);
    ints.unsigned = scalar "unsigned integer" (value: isInt value && value >= 0);
    ints.between =
      low: high: scalar "integer between ${toString low} and ${toString high}" (v: isInt v && within low high v);
    numbers.nonnegative = scalar "nonnegative number" (value: isNumber value && value >= 0);
    numbers.between =
      low: high: scalar "number between ${toString low} and ${toString high}" (v: isNumber v && within low high v);
    enum = choices: scalar "one of ${builtins.toJSON choices}" (value: builtins.elem value choices);
    listOf = type: {
      name = "list of ${type.name}";
      check = isList;
      inherit (type) getSubOptions;
      merge = path: values: map (value: merge type path [ value ]) (concatLists values);
    };
    attrsOf = type: {
      name = "attribute set of ${type.name}";
      check = isAttrs;
      inherit (type) getSubOptions;
      merge = attrsMerge (merge type);
    };
    nullOr = type: {
      name = "null or ${type.name}";
      check = value: value == null || type.check value;
      inherit (type) getSubOptions;
      merge = path: values: if all isNull values then null else merge type path values;
    };
    submodule = module: {
      name = "submodule";
      check = isAttrs;
      getSubOptions = _: (lib.evalModules { modules = [ module ]; }).options;
      merge =
        path: values:
        (lib.evalModules { modules = [ module ] ++ map (config: { inherit config; }) values; }).config;
    };
    anything = {
      name = "anything";
      check = _: true;
      getSubOptions = _: { };
      merge =
        path: values:
        if all isAttrs values then
          attrsMerge types.anything.merge path values
        else if all isList values then
          concatLists values
        else
          one path values;
    };
  };
  isNull = value: value == null;

  joined =
    a: b:
    a
    // mapAttrs (
      name: value: if a ? ${name} && !isOption value then joined a.${name} value else value
    ) b;

  lib = {
    inherit types concatMap mapAttrs;
    inherit (builtins) concatStringsSep;
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    optionalAttrs = condition: attrs: if condition then attrs else { };
    filterAttrs =
      keep: attrs: removeAttrs attrs (filter (name: !keep name attrs.${name}) (attrNames attrs));
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    removePrefix =
      prefix: text:
      if lib.hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
    escapeShellArgs =
      arguments:
      builtins.concatStringsSep " " (
        map (
          argument:
          if match "[[:alnum:],._+:@%/-]+" argument != null then
            argument
          else
            "'${replaceStrings [ "'" ] [ "'\\''" ] argument}'"
        ) arguments
      );
    evalModules =
      { modules, specialArgs ? { } }:
      let
        call = module: if isFunction module then module ({ inherit lib config; } // specialArgs) else module;
        load = module: call (if isPath module then import module else module);
        flat = concatMap (
          module:
          let
            loaded = load module;
          in
          [ loaded ] ++ (lib.evalImports load (loaded.imports or [ ]))
        ) modules;
        options = foldl' joined { } (map (module: module.options or { }) flat);
        configOf =
          module:
          if module ? options || module ? config then module.config or { } else removeAttrs module [ "imports" ];
        config = build [ ] options (map configOf flat);
      in
      {
        inherit options config;
      };
    evalImports =
      load: imports:
      concatMap (
        module:
        let
          loaded = load module;
        in
        [ loaded ] ++ lib.evalImports load (loaded.imports or [ ])
      ) imports;
  };
in
lib
