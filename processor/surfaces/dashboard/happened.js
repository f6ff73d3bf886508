// What happened, newest first: starts and ends of explorations, changes of mode.

import { byId, element, keyed, mark, say } from "./dom.js";
import { clock, gain, sign, some } from "./figures.js";
import { endReason, profileName, startReason, turnReason } from "./words.js";

const KEPT = 600; // some seconds of a demo
const SHOWN = 60;
const READABLE_MS = 1500; // a log that moves faster cannot be read

/** The last things that happened, from overviews and from the stream, each once. */
export class Happened {
  #began = null;
  #known = new Map();
  entries = []; // newest first

  /** Takes an overview; a server that began anew counts anew. */
  begin({ began, happened }) {
    if (began !== this.#began) {
      this.#began = began;
      this.#known.clear();
    }
    this.take(happened);
  }

  take(happened) {
    let news = false;
    for (const one of happened) {
      if (this.#known.has(one.number)) continue;
      this.#known.set(one.number, one);
      news = true;
    }
    if (!news) return;
    this.entries = [...this.#known.values()].sort((a, b) => b.number - a.number).slice(0, KEPT);
    if (this.#known.size > KEPT) this.#known = new Map(this.entries.map((one) => [one.number, one]));
  }
}

/**
 * The start or end of an exploration says already that the mode changed; that sessions have rested is told on their own
 * pages only.
 */
function worthTelling({ kind, from_mode, to_mode }, ofAll) {
  if (kind !== "creative_mode_transition") return true;
  if (ofAll && to_mode === "stable") return false;
  return to_mode === "emergency" || (to_mode !== "exploring" && from_mode !== "exploring");
}

/** Draws into `list`; `named` false leaves the session's id out (on its own page). */
export function drawHappened(list, entries, named = true) {
  const told = entries.filter((one) => worthTelling(one, named)).slice(0, SHOWN);
  keyed(list, told, ({ number }) => number, (one) => makeEntry(one, named), () => {});
  return told.length;
}

function makeEntry(one, named) {
  const { mode, amount, tone, headline, detail, quiet } = tell(one);
  const time = element("time", { datetime: one.at, text: clock(one.at) });
  const what = element("span", { class: "mode", "data-mode": mode, text: headline });
  const id = named
    ? element("a", { class: "id", href: `#/session/${encodeURIComponent(one.session)}`, text: one.session, title: one.session })
    : null;
  const head = element("div", { class: "what" }, what, amount ? element("span", { class: `amount ${tone}`, text: amount }) : null);
  return element("li", { "data-quiet": quiet }, time, head, element("div", { class: "detail" }, id, detail));
}

function tell(one) {
  if (one.kind === "creative_exploration_started") {
    const hope = typeof one.predicted_gain === "number" ? `, predicted\u00a0${gain(one.predicted_gain)}` : "";
    return { mode: "exploring", headline: `${profileName(one.profile)} started`, detail: `${startReason(one.reason)}${hope}` };
  }
  if (one.kind === "creative_exploration_completed") {
    const aborted = typeof one.actual_gain !== "number";
    return {
      mode: aborted ? "emergency" : "recovering",
      headline: `${profileName(one.profile)} ${aborted ? "aborted" : "ended"}`,
      amount: aborted ? "" : gain(one.actual_gain),
      tone: sign(one.actual_gain),
      detail: `${endReason(one.end_reason)}, after ${some(one.steps_executed, "step")}`,
    };
  }
  if (one.kind === "creative_mode_transition") {
    return { mode: one.to_mode, headline: `Now ${one.to_mode}`, detail: turnReason(one.reason), quiet: one.to_mode !== "emergency" };
  }
  return { mode: "stable", headline: one.kind.replaceAll("_", " "), detail: "", quiet: true };
}

/** Lets the log on the overview be held still, also while it is pointed at or scrolled. */
export class HappenedLog {
  #list = byId("log");
  #hold = byId("happened-hold");
  #pointed = false;
  #drawnAt = -Infinity;

  constructor(changed) {
    this.#hold.addEventListener("click", () => {
      const held = this.#hold.getAttribute("aria-pressed") !== "true";
      mark(this.#hold, "aria-pressed", held ? "true" : "false");
      if (!held) changed();
    });
    this.#list.addEventListener("pointerenter", () => (this.#pointed = true));
    this.#list.addEventListener("pointerleave", () => {
      this.#pointed = false;
      changed();
    });
  }

  draw(entries) {
    const filled = this.#list.firstElementChild !== null;
    const reading = this.#pointed || this.#list.scrollTop > 8 || this.#list.contains(document.activeElement);
    if (filled && performance.now() - this.#drawnAt < READABLE_MS) return;
    if (filled && (reading || this.#hold.getAttribute("aria-pressed") === "true")) return;
    this.#drawnAt = performance.now();
    byId("log-empty").hidden = drawHappened(this.#list, entries) > 0;
    mark(this.#list, "hidden", this.#list.firstElementChild === null);
  }
}
