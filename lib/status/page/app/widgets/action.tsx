/** Something that the runner is asked to do: a button with a name, a question, and what came of it. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { post, RequestError } from "../data/request.js";
import { rememberedToken, rememberToken } from "../data/token.js";
import { Dialog } from "./dialog.js";

interface ActionProps {
  /** Verb and object: "Drain mac-1". */
  readonly title: string;
  /** Route of the action. */
  readonly path: string;
  /** It cannot be undone. */
  readonly dangerous?: boolean;
  /** What will happen. */
  readonly children: ComponentChildren;
}

type Progress =
  | { readonly kind: "asking"; readonly error?: string }
  | { readonly kind: "sending" }
  | { readonly kind: "done" };

function Question({
  title,
  path,
  dangerous = false,
  children,
  close,
  done,
}: ActionProps & { readonly close: () => void; readonly done: () => void }): JSX.Element {
  const [token, setToken] = useState(rememberedToken());
  const [progress, setProgress] = useState<Progress>({ kind: "asking" });
  const send = async (): Promise<void> => {
    setProgress({ kind: "sending" });
    try {
      await post(path, token);
      rememberToken(token);
      done();
    } catch (error) {
      const isRefused = error instanceof RequestError && error.status === 401;
      if (isRefused) rememberToken("");
      const reason = error instanceof Error ? error.message : String(error);
      setProgress({ kind: "asking", error: isRefused ? "The runner does not accept this token" : reason });
    }
  };
  return (
    <Dialog title={`${title}?`} close={close}>
      <p>{children}</p>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label class="field">
          Status token <span class="soft">(empty if the runner has none)</span>
          <input
            type="password"
            autocomplete="off"
            value={token}
            onInput={({ currentTarget }) => setToken(currentTarget.value)}
          />
        </label>
        {progress.kind === "asking" && progress.error !== undefined ? (
          <p class="bad-text" role="alert">
            {progress.error}.
          </p>
        ) : null}
        <div class="buttons">
          <button type="button" onClick={close}>
            Leave it
          </button>
          <button
            type="submit"
            class={dangerous ? "danger" : "primary"}
            disabled={progress.kind === "sending"}
          >
            {title}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** A button that asks before it acts. */
export function Action(props: ActionProps): JSX.Element {
  const [isOpen, open] = useState(false);
  const [isDone, setDone] = useState(false);
  const { title, dangerous = false } = props;
  return (
    <>
      <button type="button" class={dangerous ? "danger" : undefined} onClick={() => open(true)}>
        {title}
      </button>
      <span role="status">{isDone ? <span class="good">✓ done</span> : null}</span>
      {isOpen ? (
        <Question
          {...props}
          close={() => open(false)}
          done={() => {
            open(false);
            setDone(true);
          }}
        />
      ) : null}
    </>
  );
}
