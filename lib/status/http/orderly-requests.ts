/**
 * Requests as they are let in: those of one connection one after the other, and of all connections only some in each
 * turn of the event loop. HTTP/1.1 lets a client send any number of requests without waiting for an answer, and Node
 * calls its listener for all that came with one packet at once.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { FairTurns } from "../../async/index.js";

/** Requests that are begun in one turn of the event loop; some answers take several milliseconds. */
const begunPerTurn = 4;
/** Requests of one connection that wait for the answers before them. A client that sends more is cut off. */
const mostWaiting = 16;

type Answer = () => Promise<void>;

/** Lets requests in. */
export class OrderlyRequests {
  readonly #turns = new FairTurns<Socket>(begunPerTurn);
  /** Of connections that are being answered: what waits. */
  readonly #waiting = new WeakMap<Socket, [Answer, ServerResponse][]>();

  /** Calls `answer`, which must not reject, when it is the turn of the request; never when its client is gone by then. */
  add({ socket }: IncomingMessage, response: ServerResponse, answer: Answer): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      this.#waiting.set(socket, []);
      this.#begin(socket, response, answer);
    } else if (waiting.length < mostWaiting) waiting.push([answer, response]);
    else socket.destroy();
  }

  #begin(socket: Socket, response: ServerResponse, answer: Answer): void {
    this.#turns.add(socket, () => {
      if (socket.destroyed) return;
      // Closes when the answer was sent, and when the client has gone away.
      response.once("close", () => this.#next(socket));
      void answer();
    });
  }

  #next(socket: Socket): void {
    const next = this.#waiting.get(socket)?.shift();
    if (next === undefined || socket.destroyed) this.#waiting.delete(socket);
    else this.#begin(socket, next[1], next[0]);
  }
}
