// The top of the page: health in words, the connection, sessions by mode, key figures.

import { byId, element, keyed, mark, say, set } from "./dom.js";
import { count, decimal, duration, gain, milliseconds, percent, rate, sign, some } from "./figures.js";
import { MODES, MODE_MEANING } from "./words.js";

const HEALTH_WORDS = { ok: "Ready", degraded: "Live, not ready", failing: "Not live", unknown: "No news yet" };
const MOST_REASONS = 6;

function healthState(health) {
  if (!health) return "unknown";
  if (!health.live) return "failing";
  return health.ready ? "ok" : "degraded";
}

/** The badge and one notice per reason; `link` is the connection's state. */
export function drawStanding(overview, link) {
  const state = link.name === "live" ? healthState(overview?.health) : "unknown";
  mark(byId("health"), "data-state", state);
  say(byId("health-word"), link.name === "waiting" ? "Unknown" : HEALTH_WORDS[state]);
  mark(byId("link"), "data-state", link.name);
  const words = { connecting: "Connecting", live: "Live", waiting: "Disconnected", unauthorized: "Locked" };
  say(byId("link-word"), words[link.name]);
  say(byId("application"), overview ? `${overview.application} ${overview.version}` : "");
}

/** What needs attention: a lost connection, what keeps the processor from being live or ready. */
export function drawNotices(overview, link, retry) {
  const notices = [];
  if (link.name === "waiting") notices.push({ key: "link", tone: "warn", link });
  else if (link.name === "connecting" && link.again) notices.push({ key: "link", tone: "warn", link });
  const health = overview?.health;
  if (link.name === "live" && health) {
    for (const reason of health.reasons.slice(0, MOST_REASONS)) {
      notices.push({ key: `${reason.what} ${reason.where}`, tone: health.live ? "warn" : "bad", reason });
    }
    const unseen = health.reasons.length - MOST_REASONS;
    if (unseen > 0) notices.push({ key: "unseen", tone: "warn", more: `${count(unseen)} more, told at health/ready` });
  }
  keyed(byId("notices"), notices, (notice) => notice.key, (notice) => makeNotice(notice, retry), tellNotice);
}

function makeNotice(notice, retry) {
  const node = element("div", { class: "notice" }, element("strong"), element("span", { class: "grow" }), element("span", { class: "where" }));
  if (notice.link) node.append(element("button", { type: "button", class: "button small", text: "Try now", on: { click: retry } }));
  return node;
}

function tellNotice(node, { tone, link, reason, more }) {
  const [title, message, where] = node.children;
  mark(node, "data-tone", tone);
  if (link) {
    say(title, link.name === "waiting" ? "Disconnected" : "Connecting again");
    say(message, link.name === "waiting" ? `${link.why} What you see is as it was; trying again by itself.` : "What you see is as it was.");
  } else if (reason) {
    say(title, reason.what.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase()));
    say(message, reason.message);
    say(where, `${reason.where}${reason.where ? ", " : ""}for ${duration(Math.floor(reason.since_s))}`);
  } else say(message, more);
}

/** The headline and the bar of modes; `choose(mode)` when somebody asks for the sessions of a mode. */
export function drawModes(overview, choose) {
  const { sessions, modes } = overview;
  const exploring = modes.exploring;
  say(byId("headline"), headline(sessions, exploring));
  keyed(byId("mode-bar"), MODES, (mode) => mode, (mode) => element("span", { "data-mode": mode }), (node, mode) => {
    set(node, "--share", modes[mode]);
    set(node, "--least", modes[mode] > 0 ? "3px" : "0");
  });
  keyed(byId("mode-legend"), MODES, (mode) => mode, (mode) => makeLegend(mode, choose), (node, mode) => {
    say(node.tally, count(modes[mode]));
    say(node.share, sessions > 0 ? percent(modes[mode] / sessions) : "");
  });
}

function headline(sessions, exploring) {
  if (sessions === 0) return "No sessions yet";
  if (exploring === 0) return sessions === 1 ? "One session, at rest" : `${count(sessions)} sessions, none exploring right now`;
  if (sessions === 1) return "The one session is exploring";
  return `${count(exploring)} of ${count(sessions)} sessions ${exploring === 1 ? "is" : "are"} exploring`;
}

function makeLegend(mode, choose) {
  const tally = document.createTextNode("");
  const share = element("span", { class: "share" });
  const label = element("span", { class: "mode", "data-mode": mode, text: mode });
  const amount = element("span", { class: "tally" }, tally, share);
  const title = `${MODE_MEANING[mode]} Press to list these sessions.`;
  const node = element("li", {}, element("button", { type: "button", title, on: { click: () => choose(mode) } }, label, amount));
  return Object.assign(node, { tally, share });
}

/** Gain, throughput, lag and latencies. */
export function drawFigures(overview) {
  keyed(byId("figures"), figuresOf(overview), (figure) => figure.name, makeFigure, (node, figure) => {
    say(node.value, figure.value);
    say(node.unit, figure.unit ?? "");
    say(node.beside, figure.beside);
    mark(node.value, "class", figure.tone ?? null);
  });
}

function figuresOf({ cumulative_gain, explorations, successes, rates, totals, lag, latency }) {
  const completed = Object.values(explorations).reduce((sum, { completed }) => sum + completed, 0);
  const [commit, commitUnit] = milliseconds(latency.commit_p50_ms);
  const [end, endUnit] = milliseconds(latency.end_to_end_p50_ms);
  const late = (p99) => (typeof p99 === "number" ? `99% within ${milliseconds(p99).join(" ")}` : "none in the last minute");
  return [
    {
      name: "Creative gain in all",
      value: gain(cumulative_gain),
      tone: sign(cumulative_gain),
      beside: completed > 0 ? `${some(completed, "exploration")}, ${percent(successes / completed)} a success` : "no exploration completed yet",
    },
    { name: "Events per second", value: rate(rates.events_per_s), beside: `${count(totals.events)} so far` },
    { name: "Lag", value: count(lag.records), unit: lag.records === 1 ? "record" : "records", beside: lag.records > 0 ? `${duration(lag.seconds)} behind` : "nothing waits" },
    { name: "Commit, median", value: commit, unit: commitUnit, beside: late(latency.commit_p99_ms) },
    { name: "Event to commit, median", value: end, unit: endUnit, beside: late(latency.end_to_end_p99_ms) },
  ];
}

function makeFigure({ name }) {
  const value = element("span");
  const unit = element("span", { class: "unit" });
  const beside = element("dd", { class: "beside" });
  const node = element("div", {}, element("dt", { text: name }), element("dd", { class: "value" }, value, unit), beside);
  return Object.assign(node, { value, unit, beside });
}

/** For those who hear the page: what is wrong, without the figures that change every second; "" where all is well. */
export function troubleOf(overview, link) {
  if (link.name === "waiting") return "Disconnected. What is shown is as it was.";
  if (link.name !== "live") return "";
  return (overview.health?.reasons ?? []).map(({ message, where }) => `${where}: ${message}.`).join(" ");
}

/** For those who hear the page: a sentence, said only now and then. */
export function summary(overview) {
  const { modes, sessions } = overview;
  const emergency = modes.emergency > 0 ? `, ${count(modes.emergency)} in emergency` : "";
  return `${headline(sessions, modes.exploring)}${emergency}. Gain in all ${decimal(overview.cumulative_gain)}.`;
}
