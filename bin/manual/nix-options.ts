/** The tables of settings as data for `nix/modules`, which make NixOS options of them. */
import type { Setting, SettingTable } from "../../lib/config/index.js";

interface NixOption {
  readonly kind: Setting["kind"];
  readonly description: string;
  /** Null: the key is left out of the file unless it is set. */
  readonly default: Setting["default"] | null;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  readonly members?: Readonly<Record<string, NixOption>>;
}

/** Ends of a range that the table does not bound are left out. */
function bounds({ min, max }: { readonly min: number; readonly max: number }): Partial<NixOption> {
  return {
    ...(min === -Number.MAX_SAFE_INTEGER ? {} : { min }),
    ...(max === Number.MAX_SAFE_INTEGER ? {} : { max }),
  };
}

function nixOption(setting: Setting): NixOption {
  const special = "special" in setting && setting.special !== undefined ? ` (${setting.special})` : "";
  const unit = "unit" in setting ? ` Unit: ${setting.unit}.` : "";
  return {
    kind: setting.kind,
    description: `${setting.meaning}${unit}${special}`,
    default: setting.default ?? null,
    ...("min" in setting ? bounds(setting) : {}),
    ...(setting.kind === "choice" ? { choices: setting.choices } : {}),
    ...(setting.kind === "table" ? { members: nixOptions(setting.members) } : {}),
  };
}

function nixOptions(table: SettingTable): Record<string, NixOption> {
  return Object.fromEntries(Object.entries(table).map(([key, setting]) => [key, nixOption(setting)]));
}

/** JSON of all options of a table. */
export function nixOptionsFile(table: SettingTable): string {
  return `${JSON.stringify(nixOptions(table), undefined, 2)}\n`;
}
