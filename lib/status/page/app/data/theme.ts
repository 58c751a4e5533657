/** Light or dark: as the system has it, unless the reader chose. */
import { createStore } from "./store.js";

/** `auto`: as the system has it. */
export type Theme = "auto" | "light" | "dark";
const key = "hydra-runner-theme";

function remembered(): Theme {
  try {
    const value = localStorage.getItem(key);
    return value === "light" || value === "dark" ? value : "auto";
  } catch {
    return "auto";
  }
}

/** The theme in use. */
export const theme = createStore<Theme>(remembered());

/** Uses a theme and remembers it. */
export function chooseTheme(next: Theme): void {
  theme.set(next);
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(key, next);
  } catch {
    // The browser keeps nothing for this page; the choice holds until it is left.
  }
}

/** To be called once, before anything is drawn. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = theme.get();
}
