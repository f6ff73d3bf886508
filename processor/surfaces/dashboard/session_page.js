// One session: its mode and why, the curve of its exploration, its novelty and aesthetics, what it gained and learned.

import { Refusal, ask } from "./api.js";
import { Chart } from "./chart.js";
import { curveFrame, drawCurve } from "./curves.js";
import { byId, element, keyed, mark, say, set } from "./dom.js";
import { count, decimal, exact, gain, percent, sign, some } from "./figures.js";
import { drawHappened } from "./happened.js";
import { extentOf, placeOf, spanOf } from "./outcomes.js";
import { FEATURES, MODE_MEANING, endReason, profileMeaning, profileName, startReason, turnReason } from "./words.js";

const INTERVAL_MS = 1000;

/** Opens with `show(id)`, asks every second, ends with `leave()`. `refused(error)` hears of a 401. */
export class SessionPage {
  #box = byId("session");
  #id = null;
  #asking = null;
  #timer = undefined;
  #forward = false;
  #view = null;
  #refused;

  constructor(refused) {
    this.#refused = refused;
  }

  show(id) {
    this.leave();
    this.#id = id;
    this.#forward = false;
    this.#view = makeView(id);
    this.#box.replaceChildren(this.#view.node);
    this.#box.hidden = false;
    this.#view.title.focus({ preventScroll: true });
    scrollTo(0, 0);
    this.#ask();
  }

  leave() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#id = null;
    this.#box.hidden = true;
    this.#box.replaceChildren();
  }

  /** Asks at once, as after a time without connection. */
  hurry() {
    if (this.#id === null) return;
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#ask();
  }

  async #ask() {
    const asking = (this.#asking = new AbortController());
    try {
      if (!document.hidden) tellView(this.#view, await this.#answer(asking.signal));
    } catch (error) {
      if (asking.signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 401) return this.#refused();
      tellMissing(this.#view, error);
    }
    if (!asking.signal.aborted) this.#timer = setTimeout(() => this.#ask(), INTERVAL_MS);
    return undefined;
  }

  /** A session of another instance is fetched through the one that serves this page. */
  async #answer(signal) {
    const path = `api/sessions/${encodeURIComponent(this.#id)}`;
    if (!this.#forward) {
      try {
        return await ask(path, signal);
      } catch (error) {
        if (error.code !== "owned_elsewhere") throw error;
        this.#forward = true;
      }
    }
    try {
      return await ask(`${path}?forward=1`, signal);
    } catch (error) {
      this.#forward = false; // it may have moved here meanwhile
      throw error;
    }
  }
}

function panel(title, ...content) {
  const aside = element("div", { class: "aside" });
  const head = element("div", { class: "panel-head" }, element("h2", { text: title }), aside);
  return { node: element("section", { class: "panel", "aria-label": title }, head, ...content), aside };
}

function makeView(id) {
  const view = {
    title: element("h1", { class: "id", tabindex: "-1", text: id }),
    mode: element("span", { class: "mode" }),
    since: element("span"),
    where: element("span"),
    why: element("p", { class: "why" }),
    how: element("p", { class: "how" }),
    baseline: element("span", { class: "baseline" }),
    curve: curveFrame("curve large"),
    high: element("span", { class: "bound high" }),
    ends: [element("span", { text: "start" }), element("span")],
    progress: element("dl", { class: "facts" }),
    counts: element("dl", { class: "facts plain" }),
    gains: element("ol", { class: "gains", "aria-label": "Gains of the last explorations, oldest first" }),
    noGains: element("p", { class: "empty", text: "No exploration of this session has been completed yet." }),
    model: element("dl", { class: "facts plain" }),
    weights: element("ul", { class: "weights", "aria-label": "Weights of the quality model" }),
    story: element("ol", { class: "log", tabindex: "0", "aria-label": "Its story" }),
    noStory: element("p", { class: "empty", text: "Nothing has happened since the server began to listen." }),
    notice: element("p", { class: "empty", role: "status" }),
  };
  view.course = new Chart({
    lines: [{ name: "novelty", label: "novelty" }, { name: "aesthetic", label: "aesthetic" }],
    format: (value) => decimal(value),
    describe: (step) => `step ${exact(step)}`,
  });
  view.curveBox = element("div", { class: "curve-box" }, view.high, view.curve, element("span", { class: "bound low", text: "0" }), element("div", { class: "ends" }, ...view.ends));
  view.now = panel("Now", view.why, view.how, view.curveBox, view.progress);
  const legend = element("div", { class: "legend" }, element("span", { class: "novelty", text: "Novelty" }), element("span", { class: "aesthetic", text: "Aesthetic score" }), view.baseline);
  view.points = panel("Novelty and aesthetics", view.course.node);
  view.points.aside.append(legend);
  view.gained = panel("What it gained", view.counts, element("h3", { class: "loose", text: "Last explorations" }), view.gains, view.noGains);
  view.learned = panel("What it learned", view.model, view.weights);
  view.told = panel("Its story", view.story, view.noStory);
  view.told.node.classList.add("story");
  view.body = element(
    "div",
    { class: "columns", hidden: true },
    element("div", { class: "column" }, view.now.node, view.points.node, view.gained.node),
    element("div", { class: "column" }, view.told.node, view.learned.node),
  );
  view.status = element("p", { class: "status", hidden: true }, view.mode, view.since, view.where);
  const head = element("div", { class: "session-head" }, element("a", { class: "back", href: "#/", text: "← All sessions" }), view.title, view.status);
  say(view.notice, "Asking for this session …");
  view.node = element("article", { class: "session", "aria-label": "Session" }, head, view.notice, view.body);
  return view;
}

const MISSING = {
  no_session: "No session of this name is known. It may not have sent anything yet, or it has expired.",
  no_answer: "The server does not answer; what you see is as it was. Trying again.",
};

function tellMissing(view, error) {
  const words = MISSING[error.code] ?? `${error.message} Trying again.`;
  view.notice.hidden = false;
  say(view.notice, words);
  if (error.code === "no_session") view.body.hidden = view.status.hidden = true;
}

function tellView(view, session) {
  view.notice.hidden = true;
  view.body.hidden = view.status.hidden = false;
  const { mode, exploration, happened = [] } = session;
  mark(view.mode, "data-mode", mode);
  say(view.mode, mode);
  say(view.since, `for ${some(session.steps_in_mode, "step")}, ${some(session.step, "step")} in all`);
  say(view.where, `partition ${session.partition}${session.instance ? ` on ${session.instance}` : ""}`);
  tellNow(view, mode, exploration, happened);
  tellCourse(view, session);
  tellGains(view, session);
  tellModel(view, session.model);
  view.noStory.hidden = drawHappened(view.story, happened, false) > 0;
  mark(view.story, "hidden", !view.noStory.hidden);
}

/** The reason for the present mode: an exploration's own, else of the last change into it. */
function whyOf(mode, exploration, happened) {
  if (mode === "exploring") {
    const started = happened.find(({ kind, injection_id: id }) => kind === "creative_exploration_started" && id === exploration?.injection_id);
    return startReason(exploration?.reason ?? started?.reason);
  }
  const turn = happened.find(({ kind, to_mode: to }) => kind === "creative_mode_transition" && to === mode);
  if (mode === "stable") return "At rest: nothing calls for an exploration";
  if (!turn) return MODE_MEANING[mode];
  if (mode === "recovering") return turn.from_mode === "exploring" ? `Resting: the exploration ${endReason(turn.reason)}` : "Resting: the emergency is over";
  return `Halted: ${turnReason(turn.reason)}`;
}

function tellNow(view, mode, exploration, happened) {
  say(view.why, `${whyOf(mode, exploration, happened)}.`);
  view.curveBox.hidden = view.progress.hidden = !exploration;
  if (!exploration) return say(view.how, "It has not explored yet.");
  const { profile, running, curve, progress, steps_executed: steps, duration } = exploration;
  const params = Object.entries(exploration.params ?? {}).map(([name, value]) => `${name.replaceAll("_", " ")} ${decimal(value)}`).join(", ");
  const meaning = profileMeaning(profile);
  say(view.how, `${running ? "" : "Last exploration: "}${profileName(profile)}${meaning ? `, ${meaning}` : ""}${params ? ` (${params})` : ""}.`);
  const top = Math.max(0.1, ...curve);
  // Drawn as a share of its own greatest value, which is written beside it.
  const signature = `${exploration.injection_id} ${curve.length}`;
  if (view.drawn !== signature) {
    view.drawn = signature;
    view.scaled = curve.length > 1 ? curve.map((entropy) => entropy / top) : null;
  }
  drawCurve(view.curve, view.scaled, progress);
  mark(view.curve, "data-over", !running);
  say(view.high, decimal(top));
  say(view.ends[1], some(duration, "step"));
  facts(view.progress, [
    ["Progress", `${count(steps)} of ${count(duration)}`],
    ["Entropy, base", decimal(exploration.base_factor)],
    ["Entropy, used", decimal(exploration.entropy_factor)],
    ["Predicted gain", typeof exploration.predicted_gain === "number" ? gain(exploration.predicted_gain) : "no model yet"],
    running ? ["Performance before", decimal(exploration.performance_before)] : ["Actual gain", typeof exploration.creative_gain === "number" ? gain(exploration.creative_gain) : "aborted", sign(exploration.creative_gain)],
  ]);
  return undefined;
}

function facts(list, entries) {
  keyed(list, entries, ([name]) => name, ([name]) => element("div", {}, element("dt", { text: name }), element("dd")), (node, [, value, tone]) => {
    say(node.lastChild, value);
    mark(node.lastChild, "class", tone ?? null);
  });
}

function tellCourse(view, { points, baseline }) {
  view.baseline.hidden = baseline === null;
  say(view.baseline, `Baseline ${decimal(baseline)}`);
  view.points.node.hidden = points.length < 2;
  if (points.length < 2) return;
  const [novelty, aesthetic] = [points.map((point) => point[1]), points.map((point) => point[2])];
  view.course.draw({
    x: points.map((point) => point[0]),
    series: [novelty, aesthetic],
    from: `step ${exact(points[0][0])}`,
    to: `step ${exact(points.at(-1)[0])}`,
    low: 0,
    high: 1,
    level: baseline,
    summary: `Over the last ${some(points.length, "step")}: novelty from ${decimal(novelty[0])} to ${decimal(novelty.at(-1))}, aesthetic score from ${decimal(aesthetic[0])} to ${decimal(aesthetic.at(-1))}`,
  });
}

function tellGains(view, { cumulative_gain: sum, counts, recent_gains: gains }) {
  facts(view.counts, [
    ["Gain in all", gain(sum), sign(sum)],
    ["Explorations", count(counts.injections)],
    ["Completed", count(counts.completed)],
    ["Successes", counts.completed > 0 ? `${count(counts.successful)} (${percent(counts.successful / counts.completed)})` : "0"],
    ["Aborted", count(counts.aborted)],
    ["Emergency stops", count(counts.emergency_stops)],
  ]);
  const extent = extentOf(gains);
  set(view.gains, "--zero", placeOf(0, extent));
  const rods = gains.map((value, index) => ({ value, index: counts.completed - gains.length + index }));
  view.gains.hidden = rods.length === 0;
  view.noGains.hidden = rods.length > 0;
  keyed(view.gains, rods, ({ index }) => index, makeRod, (node, { value }) => {
    mark(node, "class", sign(value));
    spanOf(node, value, extent);
    say(node.lastChild, gain(value));
  });
}

function makeRod() {
  return element("li", {}, element("span", { class: "rod", "aria-hidden": "true" }), element("span", { class: "amount" }));
}

function tellModel(view, model) {
  if (!model) {
    facts(view.model, [["Quality model", "has no samples yet"]]);
    view.weights.hidden = true;
    return;
  }
  facts(view.model, [
    [model.shared ? "Shared quality model" : "Quality model", model.trained ? `trained, fit ${count(model.version)}` : "not trained yet"],
    ["Samples", count(model.samples)],
  ]);
  const weights = (model.weights ?? []).map((value, index) => ({ value, name: FEATURES[index] ?? `feature ${index + 1}` }));
  view.weights.hidden = weights.length === 0;
  const widest = Math.max(0.01, ...weights.map(({ value }) => Math.abs(value)));
  keyed(view.weights, weights, ({ name }) => name, ({ name }) => makeWeight(name), (node, { value }) => {
    spanOf(node.track.firstChild, value, { low: -widest, high: widest });
    say(node.amount, gain(value));
  });
}

function makeWeight(name) {
  const track = element("div", { class: "track", "aria-hidden": "true" }, element("span"));
  const amount = element("span", { class: "number" });
  return Object.assign(element("li", {}, element("span", { text: name }), track, amount), { track, amount });
}
