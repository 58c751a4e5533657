/**
 * The live page: begin of the program that runs in the browser.
 *
 * `data/`    what is known: the address, answers of the API, the stream of events, the clock; pure text of figures.
 * `widgets/` what views are made of: tables, times, marks, meters, charts. They know nothing of any view.
 * `views/`   one file per view. `views.ts` is the table of them. A view is a component that gets the parts of its
 *            address; it asks for its data with `useResource(route, topics)` and is drawn again when they change.
 * `shell.tsx` everything around a view: header, state, problems, search, keys.
 * `style/`   the look: `theme.css` has the colours and sizes, the others use them.
 *
 * To add a view: write `views/<name>.tsx` with a `Headline` whose first line answers its question, add a line to
 * `views.ts`, and its path to `viewPatterns` of `../page.ts`. Sorting and filters go to the address (`changeQuery`).
 * Text is set as text; nothing makes markup of it. Types of the answers come from `lib/status/api/types.ts`.
 */
import { render } from "preact";
import { followLinks } from "./data/address.js";
import { startLive } from "./data/live.js";
import { applyTheme } from "./data/theme.js";
import { Shell } from "./shell.js";

applyTheme();
followLinks();
startLive();
const place = document.getElementById("app");
if (place !== null) render(<Shell />, place);
