// The one stream of the page: an overview to begin with, then a WebSocket, again and again.

import { Refusal, ask, subprotocols } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const SILENCE_MS = 8000; // the server sends an overview every second: longer silence is a dead connection

/**
 * Keeps the page fed. `hear(frame)` gets every parsed message (the overview asked for first comes as one too),
 * `changed(state)` every new state: {name: "connecting" | "live" | "waiting" | "unauthorized", retryAt, why}.
 */
export class Connection {
  #hear;
  #changed;
  #socket = null;
  #failures = 0;
  #timer = undefined;
  #watchdog = undefined;
  #attempt = 0;

  constructor(hear, changed) {
    this.#hear = hear;
    this.#changed = changed;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  /** Connects now, whatever the waiting. */
  start() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#timer = undefined;
    this.#connect();
  }

  #hurry() {
    if (this.#timer !== undefined) this.start();
  }

  async #connect() {
    const attempt = ++this.#attempt;
    this.#changed({ name: "connecting", again: this.#failures > 0 });
    try {
      const overview = await ask("api/overview");
      if (attempt !== this.#attempt) return;
      this.#hear({ type: "overview", data: overview });
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (error instanceof Refusal && error.status === 401) this.#changed({ name: "unauthorized" });
      else this.#wait(error.message);
      return;
    }
    this.#open();
  }

  #open() {
    const address = new URL("ws?batch=1&overview=1&happened=1", location.href.split("#")[0]);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, subprotocols());
    this.#socket = socket;
    this.#listen();
    socket.onopen = () => {
      this.#listen();
      this.#changed({ name: "live" });
    };
    socket.onmessage = (message) => {
      this.#listen();
      let frame;
      try {
        frame = JSON.parse(message.data);
      } catch {
        return; // not of our protocol: the next one may be
      }
      this.#failures = 0;
      this.#hear(frame);
    };
    socket.onclose = (closed) => {
      if (this.#socket !== socket) return;
      this.#drop();
      this.#wait(closed.reason || "The connection was lost.");
    };
  }

  #listen() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#drop();
      this.#wait("The server has fallen silent.");
    }, SILENCE_MS);
  }

  #drop() {
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #wait(why) {
    // Between half and all of a doubling time: browsers that lost one server together do not come back together.
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = longest * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#changed({ name: "waiting", retryAt: Date.now() + wait, why });
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#connect();
    }, wait);
  }
}
