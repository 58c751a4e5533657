# A TOML document from settings: an attribute set of scalars, lists of strings, and tables one level deep. Null leaves a key
# out. JSON's strings, numbers, booleans and arrays are TOML's as well.
settings:
let
  isTable = value: builtins.isAttrs value;
  present = builtins.filter (key: settings.${key} != null) (builtins.attrNames settings);
  plain = builtins.filter (key: !isTable settings.${key}) present;
  tables = builtins.filter (key: isTable settings.${key}) present;
  line = table: key: "${key} = ${builtins.toJSON table.${key}}\n";
  lines = table: builtins.concatStringsSep "" (map (line table) (builtins.attrNames table));
in
builtins.concatStringsSep "" (
  map (line settings) plain ++ map (key: "\n[${key}]\n${lines settings.${key}}") tables
)
