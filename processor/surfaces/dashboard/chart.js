// Line charts: SVG stretched over its box, with HTML for what must not be stretched (labels, the reading under the
// pointer).

import { element, mark, say, set, shape } from "./dom.js";

const WIDTH = 1000;
const HEIGHT = 100;

/**
 * A chart of one or more lines over a common x. `lines`: [{name, label}], the name is its class; `describe(x)` words for a
 * place, `format(value)` for a value. `draw({x, series, from, to, low, high, level, summary})` shows it anew: `x`
 * ascending numbers, `series` one list of values per line, `level` an optional value
 * drawn across.
 */
export class Chart {
  #lines;
  #format;
  #describe;
  #shown = null;

  constructor({ lines, format, describe, filled = false }) {
    this.#lines = lines;
    this.#format = format;
    this.#describe = describe;
    this.paths = lines.map(({ name }) => shape("path", { class: `line ${name}` }));
    this.areas = filled ? lines.map(({ name }) => shape("path", { class: `area ${name}` })) : [];
    this.across = shape("line", { class: "level", x1: 0, x2: WIDTH, visibility: "hidden" });
    this.picture = shape(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      ...[0, 50, 100].map((y) => shape("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y })),
      ...this.areas,
      this.across,
      ...this.paths,
    );
    this.high = element("span", { class: "bound high" });
    this.low = element("span", { class: "bound low" });
    this.from = element("span");
    this.to = element("span");
    this.cursor = element("div", { class: "cursor", hidden: true });
    this.reading = element("output", { class: "reading", hidden: true, "aria-hidden": "true" });
    this.plot = element("div", { class: "plot" }, this.picture, this.high, this.low, this.cursor, this.reading);
    this.node = element("div", { class: "chart" }, this.plot, element("div", { class: "ends" }, this.from, this.to));
    this.plot.addEventListener("pointermove", (event) => this.#read(event));
    this.plot.addEventListener("pointerleave", () => this.#read(null));
  }

  draw(shown) {
    this.#shown = shown;
    const { x, series, from, to, low, high, level = null, summary } = shown;
    mark(this.picture, "aria-label", summary);
    say(this.from, from);
    say(this.to, to);
    say(this.high, this.#format(high));
    say(this.low, this.#format(low));
    series.forEach((values, index) => {
      const line = this.#path(x, values, low, high);
      mark(this.paths[index], "d", line);
      if (this.areas[index] && line) {
        const left = this.#x(x[0]).toFixed(1);
        mark(this.areas[index], "d", `${line}L${this.#x(x.at(-1)).toFixed(1)} ${HEIGHT}L${left} ${HEIGHT}Z`);
      }
    });
    mark(this.across, "visibility", level === null ? "hidden" : null);
    if (level !== null) for (const end of ["y1", "y2"]) mark(this.across, end, this.#y(level, low, high).toFixed(1));
  }

  #x(value) {
    const { x, first = x[0], last = x.at(-1) } = this.#shown;
    return last > first ? ((value - first) / (last - first)) * WIDTH : WIDTH;
  }

  #y(value, low, high) {
    return HEIGHT - ((value - low) / (high - low || 1)) * HEIGHT;
  }

  #path(x, values, low, high) {
    let path = "";
    for (let i = 0; i < x.length; i++) {
      path += `${i ? "L" : "M"}${this.#x(x[i]).toFixed(1)} ${this.#y(values[i], low, high).toFixed(1)}`;
    }
    return path;
  }

  #read(event) {
    const shown = this.#shown;
    const visible = event !== null && shown !== null && shown.x.length > 0;
    this.cursor.hidden = this.reading.hidden = !visible;
    if (!visible) return;
    const box = this.plot.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * WIDTH;
    let nearest = 0;
    for (let i = 1; i < shown.x.length; i++) {
      if (Math.abs(this.#x(shown.x[i]) - place) < Math.abs(this.#x(shown.x[nearest]) - place)) nearest = i;
    }
    const share = this.#x(shown.x[nearest]) / WIDTH;
    set(this.plot, "--x", `${(share * 100).toFixed(2)}%`);
    mark(this.reading, "data-side", share > 0.5 ? "left" : "right");
    const values = this.#lines.map(({ label }, i) => {
      const value = this.#format(shown.series[i][nearest]);
      return label ? `${label} ${value}` : value;
    });
    say(this.reading, `${this.#describe(shown.x[nearest])}: ${values.join(", ")}`);
  }
}

/** The least and the greatest of `values` with a little air, never equal; `zero` keeps 0 at the bottom. */
export function bounds(values, { zero = false, least = 1 } = {}) {
  let low = zero ? 0 : Infinity;
  let high = zero ? 0 : -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, least];
  if (high - low < least) high = low + least;
  return [low, high];
}
