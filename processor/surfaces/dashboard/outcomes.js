// What explorations gained: by profile, and predicted against actual for the last ones.

import { curveFrame, drawCurve } from "./curves.js";
import { byId, element, keyed, mark, say, set } from "./dom.js";
import { count, gain, sign } from "./figures.js";
import { profileMeaning, profileName } from "./words.js";

const LAST = 7;

/** The extent that shows 0 and all `values`. */
export function extentOf(values) {
  return { low: Math.min(0, ...values), high: Math.max(0.1, ...values) };
}

/** Where `value` is on a track of this extent, in per cent. */
export function placeOf(value, { low, high }) {
  return `${(((value - low) / (high - low)) * 100).toFixed(1)}%`;
}

/** A rod on a track, from 0 to `value`. */
export function spanOf(node, value, extent) {
  set(node, "--length", placeOf(extent.low + Math.abs(value), extent));
  set(node, "--from", placeOf(Math.min(0, value), extent));
}

export function drawOutcomes({ explorations, curves }, happened) {
  const rows = Object.entries(explorations)
    .filter(([, { completed }]) => completed > 0)
    .map(([profile, { completed, gain: sum }]) => ({ profile, completed, sum, average: sum / completed }))
    .sort((a, b) => b.completed - a.completed);
  const extent = extentOf(rows.map(({ average }) => average));
  set(byId("outcomes"), "--zero", placeOf(0, extent));
  byId("outcomes-empty").hidden = rows.length > 0;
  byId("outcomes").parentElement.hidden = rows.length === 0;
  keyed(byId("outcomes"), rows, ({ profile }) => profile, (row) => makeRow(row, curves), (node, row) => {
    say(node.completed, count(row.completed));
    say(node.average, gain(row.average));
    mark(node.measure, "class", `average ${sign(row.average)}`);
    spanOf(node.rod, row.average, extent);
    say(node.sum, gain(row.sum));
    mark(node.sum, "class", `number ${sign(row.sum)}`);
  });
  drawPredictions(happened);
}

function makeRow({ profile }, curves) {
  const completed = element("td", { class: "number" });
  const average = element("span");
  const rod = element("span");
  const measure = element("div", { class: "average" }, average, element("div", { class: "track", "aria-hidden": "true" }, rod));
  const sum = element("td", { class: "number" });
  const curve = curveFrame("curve still");
  if (curves[profile]) drawCurve(curve, curves[profile], 1);
  const name = element("span", {}, profileName(profile), element("small", { text: profileMeaning(profile) }));
  const head = element("th", { scope: "row" }, element("div", { class: "profile" }, curve, name));
  return Object.assign(element("tr", {}, head, completed, element("td", {}, measure), sum), { completed, average, rod, measure, sum });
}

function drawPredictions(happened) {
  const last = happened.filter(({ kind, actual_gain }) => kind === "creative_exploration_completed" && typeof actual_gain === "number").slice(0, LAST);
  const values = last.flatMap(({ actual_gain, predicted_gain }) => [actual_gain, predicted_gain ?? 0]);
  const extent = extentOf(values);
  const list = byId("predictions");
  set(list, "--zero", placeOf(0, extent));
  byId("lately").hidden = last.length === 0;
  keyed(list, last, ({ number }) => number, makePrediction, (node, one) => {
    spanOf(node.reach, one.actual_gain, extent);
    node.expected.hidden = typeof one.predicted_gain !== "number";
    if (!node.expected.hidden) set(node.expected, "--at", placeOf(one.predicted_gain, extent));
  });
}

function makePrediction(one) {
  const reach = element("span", { class: `reach ${sign(one.actual_gain)}` });
  const expected = element("span", { class: "expected" });
  const predicted = typeof one.predicted_gain === "number" ? `predicted ${gain(one.predicted_gain)}` : "without a prediction";
  const scale = element("div", { class: "scale", role: "img", "aria-label": `${predicted}, actual ${gain(one.actual_gain)}`, title: predicted }, element("span", { class: "zero" }), reach, expected);
  const link = element("a", { class: "id", href: `#/session/${encodeURIComponent(one.session)}`, text: one.session, title: one.session });
  const amount = element("span", { class: `amount ${sign(one.actual_gain)}`, text: gain(one.actual_gain) });
  return Object.assign(element("div", { class: "row" }, link, scale, amount), { reach, expected });
}
