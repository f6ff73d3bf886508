// Instances with their partitions: who works on what, how far behind, and what stands still.

import { byId, element, keyed, mark, reachableWhereItScrolls, say } from "./dom.js";
import { count, duration, exact, some } from "./figures.js";
import { phaseName } from "./words.js";

export function drawInstances({ instances }) {
  byId("instances-empty").hidden = instances.length > 0;
  const partitions = instances.reduce((sum, instance) => sum + instance.partitions.length, 0);
  say(byId("instances-count"), instances.length > 0 ? `${some(instances.length, "instance")}, ${some(partitions, "partition")}` : "");
  keyed(byId("instances"), instances, ({ instance }) => instance, makeInstance, tellInstance);
}

function makeInstance({ instance }) {
  const parts = {
    badge: element("span", { class: "badge" }, element("span", { class: "dot", "aria-hidden": "true" }), element("span")),
    aside: element("span", { class: "aside" }),
    doubt: element("span", { class: "doubt" }),
    rows: element("tbody"),
    none: element("p", { class: "aside", text: "No partition is assigned to it." }),
  };
  const columns = ["Partition", "Phase", "Next offset", "Lag", "Behind", "Standing still"];
  const heads = columns.map((name, index) => element("th", { scope: "col", class: index > 1 ? `number${index === 2 ? " wide" : ""}` : null, text: name }));
  parts.table = element("div", { class: "table-scroll", role: "group", "aria-label": `Partitions of ${instance}` }, element("table", { class: "partitions" }, element("caption", { class: "unseen", text: `Partitions of ${instance}` }), element("thead", {}, element("tr", {}, ...heads)), parts.rows));
  reachableWhereItScrolls(parts.table);
  const head = element("div", { class: "instance-head" }, element("h3", { class: "id", text: instance }), parts.badge, parts.aside, parts.doubt);
  return Object.assign(element("div", {}, head, parts.table, parts.none), { parts });
}

function tellInstance({ parts }, instance) {
  const stalled = instance.stalled_s >= 1;
  const state = !instance.connected ? "failing" : instance.doubt || stalled ? "degraded" : instance.phase === "working" ? "ok" : "degraded";
  mark(parts.badge, "data-state", state);
  const word = instance.connected ? phaseName(instance.phase) : instance.phase === "ended" ? "ended" : "gone";
  say(parts.badge.lastChild, stalled ? `stalled for ${duration(instance.stalled_s)}` : word);
  const heard = instance.heard_s > 2 ? `last heard ${duration(instance.heard_s)} ago` : "";
  const restarts = instance.restarts > 0 ? `restarted ${instance.restarts === 1 ? "once" : `${count(instance.restarts)} times`}` : "";
  say(parts.aside, [heard, restarts].filter(Boolean).join(", "));
  mark(parts.doubt, "hidden", !instance.doubt);
  if (instance.doubt) say(parts.doubt, instance.doubt);
  mark(parts.table, "hidden", instance.partitions.length === 0);
  mark(parts.none, "hidden", instance.partitions.length > 0);
  keyed(parts.rows, instance.partitions, ({ partition }) => partition, makePartition, tellPartition);
}

function makePartition({ partition }) {
  const parts = {
    phase: element("span", { class: "phase" }),
    cause: element("span", { class: "cause" }),
    position: element("td", { class: "number wide" }),
    lag: element("td", { class: "number" }),
    behind: element("td", { class: "number" }),
    standing: element("td", { class: "number" }),
  };
  const head = element("th", { scope: "row", class: "number-of", text: `${partition}` });
  return Object.assign(element("tr", {}, head, element("td", {}, parts.phase, parts.cause), parts.position, parts.lag, parts.behind, parts.standing), { parts });
}

function tellPartition({ parts }, partition) {
  const { phase, waiting, cause } = partition;
  mark(parts.phase, "data-tone", phase === "halted" ? "bad" : phase === "running" ? null : "warn");
  say(parts.phase, phaseName(phase));
  const why = cause ?? (waiting ? `waits at changelog offset ${exact(waiting[0])} of ${exact(waiting[1])} for an open transaction` : "");
  mark(parts.cause, "hidden", !why);
  if (why) say(parts.cause, why);
  say(parts.position, exact(partition.position < 0 ? null : partition.position));
  say(parts.lag, count(partition.lag));
  say(parts.behind, partition.lag > 0 ? duration(partition.lag_s) : "0 s");
  say(parts.standing, partition.standing_s >= 1 ? duration(partition.standing_s) : "no");
}
