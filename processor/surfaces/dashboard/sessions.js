// The table of sessions: asked for every few seconds, kept fresh in between by the stream's metrics.

import { ask } from "./api.js";
import { byId, element, keyed, mark, say, set } from "./dom.js";
import { clock, count, gain, percent, sign, some } from "./figures.js";
import { profileName } from "./words.js";

const PAGE = 25;
const MOST = 500;
const REFRESH_MS = 4000;
const TYPING_MS = 200;

const TREND = 1000; // the trend is told per thousand steps: per step it is a row of zeros

/** Draws itself; `changed()` asks for a drawing. */
export class Sessions {
  #list = null;
  #limit = PAGE;
  #error = null;
  #askedAt = 0;
  #asking = null;
  #drawnFor = null; // the question whose answer is shown
  #ids = []; // of the rows, in order
  #last = new Map(); // what the rows said
  #timer = undefined;
  #changed;
  #query = byId("filter-query");
  #mode = byId("filter-mode");
  #order = byId("filter-order");
  #rows = byId("session-rows");

  constructor(changed) {
    this.#changed = changed;
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    this.#query.addEventListener("input", () => this.#soon(TYPING_MS));
    for (const choice of [this.#mode, this.#order]) choice.addEventListener("change", () => this.#soon(0));
    byId("sessions-more").addEventListener("click", () => {
      this.#limit = Math.min(MOST, this.#limit * 2);
      this.refresh();
    });
    this.#rows.addEventListener("click", (event) => {
      if (event.target.closest("a") || getSelection()?.toString()) return;
      event.target.closest("tr")?.querySelector("a").click();
    });
  }

  /** The sessions in the table, whose metrics keep it fresh. */
  get shown() {
    return this.#list ? this.#list.sessions.map(({ session_id }) => session_id) : [];
  }

  /** Shows only sessions of `mode`. */
  choose(mode) {
    this.#mode.value = mode;
    this.refresh();
    byId("sessions").scrollIntoView({ behavior: "smooth", block: "start" });
    this.#mode.focus({ preventScroll: true });
  }

  #soon(ms) {
    this.#limit = PAGE;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), ms);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asking?.abort();
  }

  /** Asks now, and from then on again and again until `stop()`. */
  async refresh() {
    this.stop();
    const asking = (this.#asking = new AbortController());
    const wanted = new URLSearchParams({ order: this.#order.value, limit: this.#limit });
    if (this.#mode.value) wanted.set("mode", this.#mode.value);
    if (this.#query.value) wanted.set("q", this.#query.value);
    const askedAt = performance.now();
    try {
      if (!document.hidden) this.#list = await ask(`api/sessions?${wanted}`, asking.signal);
      this.#askedAt = askedAt;
      this.#error = null;
    } catch (error) {
      if (asking.signal.aborted) return;
      this.#error = error.message;
    }
    if (asking.signal.aborted) return;
    this.#timer = setTimeout(() => this.refresh(), REFRESH_MS);
    this.#changed();
  }

  draw(metrics) {
    const list = this.#list;
    if (list === null) return this.#tellEmpty(this.#error ?? "Asking for the sessions …");
    const { sessions, total, matching } = list;
    const filtered = this.#mode.value !== "" || this.#query.value !== "";
    say(byId("sessions-count"), filtered ? `${count(matching)} of ${some(total, "session")}` : some(total, "session"));
    // Somebody who points at a row or stands on it shall find it where it was: new rows wait.
    const held = this.#rows.matches(":hover") || this.#rows.contains(document.activeElement);
    if (!held || this.#drawnFor !== this.#question()) this.#ids = sessions.map(({ session_id }) => session_id);
    this.#drawnFor = this.#question();
    const byName = new Map(sessions.map((session) => [session.session_id, session]));
    const rows = this.#ids.map((id) => {
      const metric = metrics.get(id);
      const listed = byName.get(id) ?? this.#last.get(id);
      return metric && metric.heardAt > this.#askedAt ? { ...listed, ...metric } : listed;
    });
    this.#last = new Map(rows.map((row) => [row.session_id, row]));
    keyed(this.#rows, rows, ({ session_id }) => session_id, makeRow, tellRow);
    byId("sessions-more").hidden = sessions.length >= matching || this.#limit >= MOST;
    this.#rows.closest("table").hidden = rows.length === 0;
    return this.#tellEmpty(rows.length > 0 ? null : filtered ? "No session is like that. Sessions are listed once they have been heard of." : "No session has been heard of yet.");
  }

  #question() {
    return `${this.#mode.value} ${this.#order.value} ${this.#limit} ${this.#query.value}`;
  }

  #tellEmpty(words) {
    byId("sessions-empty").hidden = words === null;
    if (words !== null) say(byId("sessions-empty"), words);
  }
}

function makeRow({ session_id: id }) {
  const parts = {
    mode: element("span", { class: "mode" }),
    since: element("span", { class: "since" }),
    running: element("div", { class: "running" }, element("span"), element("div", { class: "bar", "aria-hidden": "true" }, element("span")), element("span", { class: "number" })),
    gain: element("td", { class: "number" }),
    novelty: element("td", { class: "number middle" }),
    aesthetic: element("td", { class: "number middle" }),
    at: element("td", { class: "number middle even" }),
  };
  const link = element("a", { class: "id", href: `#/session/${encodeURIComponent(id)}`, text: id, title: id });
  const row = element(
    "tr",
    {},
    element("td", {}, link),
    element("td", {}, parts.mode, parts.since),
    element("td", { class: "wide" }, parts.running),
    parts.gain,
    parts.novelty,
    parts.aesthetic,
    parts.at,
  );
  return Object.assign(row, { parts });
}

function tellRow({ parts }, session) {
  const { mode, since, running, novelty, aesthetic, at } = parts;
  mark(mode, "data-mode", session.mode);
  say(mode, session.mode);
  say(since, `${count(session.steps_in_mode)} steps`);
  const injection = session.mode === "exploring" ? session.current_injection : null;
  const [name, bar, share] = running.children;
  mark(running, "hidden", !injection);
  if (injection) {
    say(name, profileName(injection.profile));
    set(bar.firstChild, "--done", `${(injection.progress * 100).toFixed(1)}%`);
    say(share, percent(injection.progress));
  }
  say(parts.gain, gain(session.cumulative_gain));
  mark(parts.gain, "class", `number ${sign(session.cumulative_gain)}`);
  say(novelty, perThousand(session.performance_trend.novelty));
  say(aesthetic, perThousand(session.performance_trend.aesthetic));
  say(at, clock(session.at));
}

function perThousand(trend) {
  return gain(trend * TREND, 1);
}
