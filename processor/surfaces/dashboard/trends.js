// The last ten minutes in four small charts.

import { Chart, bounds } from "./chart.js";
import { byId, element, say } from "./dom.js";
import { clock, count, duration, gain, rate } from "./figures.js";

const TRENDS = [
  { name: "exploring", title: "Sessions exploring", column: 3, format: count, zero: true, least: 2 },
  { name: "gain", title: "Creative gain in all", column: 2, format: gain, zero: false, least: 0.1 },
  { name: "events", title: "Events per second", column: 1, format: rate, zero: true, least: 10 },
  { name: "lag", title: "Lag in records", column: 4, format: count, zero: true, least: 10 },
];

export class Trends {
  #charts = null;
  #drawn = undefined; // the time of the last point drawn; null is that of none

  draw({ trend: { points } }) {
    this.#charts ??= this.#make();
    const last = points.at(-1)?.[0] ?? null;
    if (last === this.#drawn) return; // the points come every other second
    this.#drawn = last;
    const x = points.map((point) => point[0]);
    for (const [index, { title, column, format, zero, least }] of TRENDS.entries()) {
      const { chart, now } = this.#charts[index];
      const values = points.map((point) => point[column]);
      const [low, high] = bounds(values, { zero, least });
      const latest = values.at(-1);
      say(now, format(latest));
      const summary = values.length > 0 ? `${title}: now ${format(latest)}, between ${format(Math.min(...values))} and ${format(Math.max(...values))}` : `${title}: nothing yet`;
      const from = x.length > 1 ? `${duration(x.at(-1) - x[0])} ago` : "";
      chart.draw({ x, series: [values], from, to: "now", low, high, summary });
    }
  }

  #make() {
    const charts = TRENDS.map(({ name, title, format }) => {
      const now = element("b");
      const describe = (unix) => clock(unix * 1000);
      const chart = new Chart({ lines: [{ name }], format, describe, filled: true });
      const head = element("div", { class: "trend-head" }, element("h3", { text: title }), now);
      const node = element("div", { class: "panel trend", "data-trend": name }, head, chart.node);
      return { chart, now, node };
    });
    byId("trends").replaceChildren(...charts.map(({ node }) => node));
    return charts;
  }
}
