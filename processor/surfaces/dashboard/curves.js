// Profile curves: the whole course of an exploration, the part that is done bright, a dot where it stands.

import { mark, shape } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 64;
const MARGIN = 5;

let clips = 0;

/** Where the curve is at `progress` (0 to 1), between the samples. */
export function valueAt(curve, progress) {
  const place = Math.min(Math.max(progress, 0), 1) * (curve.length - 1);
  const left = Math.floor(place);
  const right = Math.min(left + 1, curve.length - 1);
  return curve[left] + (curve[right] - curve[left]) * (place - left);
}

/** An SVG path through `values`, evenly over the width; `top` is the value at the upper margin. */
function pathOf(values, top) {
  const stepX = WIDTH / Math.max(values.length - 1, 1);
  return values.map((value, index) => `${index ? "L" : "M"}${(index * stepX).toFixed(1)} ${heightOf(value, top)}`).join("");
}

function heightOf(value, top) {
  return (HEIGHT - MARGIN - (value / top) * (HEIGHT - 2 * MARGIN)).toFixed(1);
}

/** A curve to be drawn with `drawCurve`. It is decoration: the figures beside it say the same in words. */
export function curveFrame(name = "curve") {
  const clip = `done-${++clips}`;
  return shape(
    "svg",
    { class: name, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("clipPath", { id: clip }, shape("rect", { x: 0, y: 0, width: 0, height: HEIGHT, class: "done-extent" })),
    shape("line", { class: "ground", x1: 0, x2: WIDTH, y1: HEIGHT - MARGIN, y2: HEIGHT - MARGIN }),
    shape("path", { class: "ahead" }),
    shape("g", { "clip-path": `url(#${clip})` }, shape("path", { class: "area" }), shape("path", { class: "done" })),
    // A line of no length with a round cap stays a circle however the picture is stretched.
    shape("path", { class: "now" }),
  );
}

/** Draws `curve` (multipliers, or null for a profile whose curve is not known) with `progress` from 0 to 1. */
export function drawCurve(frame, curve, progress) {
  const values = curve ?? [0.5, 0.5];
  const top = Math.max(1, ...values);
  if (frame.values !== values) {
    frame.values = values;
    const line = pathOf(values, top);
    mark(frame.querySelector(".ahead"), "d", line);
    mark(frame.querySelector(".done"), "d", line);
    mark(frame.querySelector(".area"), "d", `${line}L${WIDTH} ${HEIGHT - MARGIN}L0 ${HEIGHT - MARGIN}Z`);
  }
  const x = (Math.min(Math.max(progress, 0), 1) * WIDTH).toFixed(1);
  mark(frame.querySelector(".done-extent"), "width", x);
  mark(frame.querySelector(".now"), "d", `M${x} ${heightOf(valueAt(values, progress), top)}h0.01`);
}
