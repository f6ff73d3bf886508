// Explorations in progress: what explores, why, along which curve, how far, with which hope.
//
// A card keeps its place while its exploration lasts. When it ends, the card shows the outcome for a moment before the
// place goes to another one: a grid whose cards moved up every second could not be read.

import { curveFrame, drawCurve } from "./curves.js";
import { byId, element, keyed, mark, say, set } from "./dom.js";
import { count, decimal, gain, percent, sign } from "./figures.js";
import { endReason, profileMeaning, profileName, startReason } from "./words.js";

const few = () => (matchMedia("(max-width: 640px)").matches ? 4 : 9);
const OUTCOME_MS = 2500;

/** A metric of the same exploration that is further on; metrics do not name it, but amplitudes are hardly ever equal. */
function newerOf(exploration, injection) {
  const same = injection && injection.entropy_factor === exploration.entropy_factor && injection.profile === exploration.profile;
  return same && injection.progress >= exploration.progress ? injection : exploration;
}

/** The cards. `draw(overview, metrics, happened)`: `metrics` by session are newer than the overview where given. */
export class Explorations {
  #places = []; // [{exploration, endedAt}]
  #all = false;
  #changed;

  constructor(changed) {
    this.#changed = changed;
    byId("cards-more").addEventListener("click", () => {
      this.#all = !this.#all;
      this.#changed();
    });
  }

  /** The sessions whose metrics the cards show. */
  get sessions() {
    return this.#places.map(({ exploration }) => exploration.session_id);
  }

  draw(overview, metrics, happened) {
    const { exploring, exploring_total: total, curves } = overview;
    this.#place(exploring, this.#all ? exploring.length : few());
    keyed(byId("cards"), this.#places, ({ exploration }) => nameOf(exploration), makeCard, (card, place) => {
      tellCard(card, place, metrics.get(place.exploration.session_id), curves, happened);
    });
    const none = this.#places.length === 0;
    say(byId("exploring-count"), total > this.#places.length ? `${count(this.#places.length)} of ${count(total)}` : none ? "" : count(total));
    byId("cards-empty").hidden = !none;
    if (none) say(byId("cards-empty"), overview.sessions === 0 ? "No session has sent anything yet." : "All sessions are at rest. A card appears here when one starts to explore.");
    const more = byId("cards-more");
    more.hidden = total <= few() && document.activeElement !== more;
    say(more, this.#all ? "Show fewer" : `Show ${total > exploring.length ? `${exploring.length} of ` : ""}all ${count(total)}`);
    mark(more, "aria-expanded", this.#all ? "true" : "false");
  }

  #place(exploring, places) {
    const now = performance.now();
    const running = new Map(exploring.map((exploration) => [nameOf(exploration), exploration]));
    for (const place of this.#places) {
      const latest = running.get(nameOf(place.exploration));
      if (latest) place.exploration = latest;
      else place.endedAt ??= now;
    }
    // Outcomes give way to what is going on: never more than a third of the places, the latest ones.
    const ended = this.#places.filter(({ endedAt }) => endedAt !== null && now - endedAt < OUTCOME_MS);
    const told = new Set(ended.sort((a, b) => b.endedAt - a.endedAt).slice(0, Math.ceil(places / 3)));
    // A card that has the focus would take it along: whoever goes on by keyboard would begin at the top.
    const focused = byId("cards").querySelector("a:focus")?.title;
    const held = ({ exploration }) => exploration.session_id === focused;
    const kept = this.#places.filter((place) => place.endedAt === null || told.has(place) || held(place)).slice(0, places);
    const shown = new Set(kept.map(({ exploration }) => nameOf(exploration)));
    // Those that have most of their way ahead: their cards stay longest.
    const waiting = exploring.filter((exploration) => !shown.has(nameOf(exploration))).sort((a, b) => a.progress - b.progress);
    const free = this.#places.map((place) => !kept.includes(place));
    const next = this.#places.map((place, index) => (free[index] ? newPlace(waiting.shift()) : place));
    while (next.length < places && waiting.length > 0) next.push(newPlace(waiting.shift()));
    this.#places = next.filter((place) => place !== null);
  }
}

/** What was not heard from its beginning has no id. */
function nameOf({ injection_id: id, session_id: session, since }) {
  return id ?? `${session} ${since}`;
}

function isEnd({ kind, injection_id: id, session }, exploration) {
  if (kind !== "creative_exploration_completed") return false;
  return exploration.injection_id === null ? session === exploration.session_id : id === exploration.injection_id;
}

function newPlace(exploration) {
  return exploration ? { exploration, endedAt: null } : null;
}

function makeCard({ exploration }) {
  const { session_id: session, profile } = exploration;
  const parts = {
    share: element("span", { class: "done-share" }),
    curve: curveFrame(),
    why: element("p", { class: "why" }),
    name: element("b"),
    meaning: document.createTextNode(""),
    strength: element("b"),
    hope: element("b"),
    ending: element("span"),
    outcome: element("b"),
    bar: element("div", { class: "bar", role: "progressbar", "aria-label": `Progress of ${session}`, "aria-valuemin": "0", "aria-valuemax": "100" }, element("span")),
  };
  say(parts.name, profileName(profile));
  const meaning = profileMeaning(profile);
  say(parts.meaning, meaning ? `: ${meaning}` : "");
  const link = element("a", { class: "id", href: `#/session/${encodeURIComponent(session)}`, text: session, title: session });
  const card = element(
    "li",
    { class: "card" },
    element("div", { class: "card-head" }, link, parts.share),
    parts.curve,
    element("div", {}, parts.why, element("p", { class: "how" }, parts.name, parts.meaning)),
    element("div", { class: "card-foot" }, element("span", {}, "entropy now ", parts.strength), element("span", {}, "predicted ", parts.hope)),
    element("p", { class: "outcome" }, parts.ending, parts.outcome),
    parts.bar,
  );
  return Object.assign(card, { parts });
}

function tellCard(card, place, metric, curves, happened) {
  const { exploration, endedAt } = place;
  const { parts } = card;
  const newer = newerOf(exploration, metric?.current_injection);
  const ended = endedAt !== null;
  // Kept once it is found: where much happens, the list has moved on before the card has gone.
  if (ended) place.end ??= happened.find((one) => isEnd(one, exploration));
  const { end } = place;
  const progress = end ? Math.min(1, end.steps_executed / Math.max(1, end.duration)) : newer.progress;
  say(parts.share, ended ? "" : percent(progress));
  drawCurve(parts.curve, curves[exploration.profile] ?? null, progress);
  say(parts.why, startReason(exploration.reason));
  say(parts.strength, decimal(newer.current_factor));
  say(parts.hope, typeof exploration.predicted_gain !== "number" ? "–" : gain(exploration.predicted_gain));
  mark(parts.bar, "aria-valuenow", Math.round(progress * 100));
  set(parts.bar.firstChild, "--done", `${(progress * 100).toFixed(1)}%`);
  mark(card, "data-ended", ended);
  if (ended) {
    const result = end?.actual_gain;
    say(parts.ending, end ? endReason(end.end_reason) : "ended");
    say(parts.outcome, typeof result === "number" ? gain(result) : "");
    mark(parts.outcome, "class", sign(result));
  }
}
