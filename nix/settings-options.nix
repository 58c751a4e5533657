# NixOS options for the keys of a configuration file. `table` is the JSON that `npm run manual` makes from the tables that
# check the file, so that types, ranges, defaults and texts are the programs' own; `defaults` replaces some defaults.
{
  lib,
  table,
  defaults ? { },
}:
let
  inherit (lib) types mkOption;

  bounded =
    {
      any,
      unsigned,
      between,
    }:
    setting:
    if setting ? min && setting ? max then
      between setting.min setting.max
    else if setting ? min then
      unsigned
    else
      any;

  integer = bounded {
    any = types.int;
    unsigned = types.ints.unsigned;
    inherit (types.ints) between;
  };
  number = bounded {
    any = types.number;
    unsigned = types.numbers.nonnegative;
    inherit (types.numbers) between;
  };

  typeOf =
    setting:
    {
      integer = integer setting;
      number = number setting;
      boolean = types.bool;
      choice = types.enum setting.choices;
      text = types.singleLineStr;
      path = types.singleLineStr;
      secret = types.singleLineStr;
      list = types.listOf types.singleLineStr;
      paths = types.listOf types.singleLineStr;
      table = types.submodule { options = lib.mapAttrs memberOption setting.members; };
    }
    .${setting.kind};

  # Lists inside a table may be left out in Nix, although the file must have them.
  memberOption =
    _: setting:
    mkOption (
      {
        type = typeOf setting;
        inherit (setting) description;
      }
      // (if setting.kind == "list" then { default = [ ]; } else { })
    );

  option =
    key: setting:
    let
      default = defaults.${key} or setting.default;
    in
    mkOption {
      # A key without a default may be left out of the file; null does that.
      type = if setting.default == null then types.nullOr (typeOf setting) else typeOf setting;
      inherit default;
      inherit (setting) description;
    };
in
lib.mapAttrs option table
