// Puts the page together: one stream in, data kept, drawn at its own pace; what is shown follows the address.

import { takeTokenFromAddress, useToken } from "./api.js";
import { Connection } from "./connection.js";
import { byId, mark, reachableWhereItScrolls, say } from "./dom.js";
import { clock, some } from "./figures.js";
import { Explorations } from "./explorations.js";
import { Happened, HappenedLog } from "./happened.js";
import { drawInstances } from "./instances.js";
import { drawOutcomes } from "./outcomes.js";
import { drawFigures, drawModes, drawNotices, drawStanding, summary, troubleOf } from "./overview_head.js";
import { Pace } from "./pacing.js";
import { SessionPage } from "./session_page.js";
import { Sessions } from "./sessions.js";
import { offerThemes } from "./theme.js";
import { Trends } from "./trends.js";

const ANNOUNCE_MS = 20000;

takeTokenFromAddress();
offerThemes(byId("theme"));
for (const box of document.querySelectorAll(".table-scroll")) reachableWhereItScrolls(box);

let overview = null;
let link = { name: "connecting", again: false };
let locked = false; // the server wants a token
let tried = false; // one was given by hand
let announced = ""; // the trouble that was said
let announcedAt = -Infinity;
let shown = null; // the id of the session whose page is open
let followed = new Set(); // sessions whose metrics something on the page shows
const metrics = new Map(); // the latest of those, by session

const pace = new Pace(draw);
const changed = () => pace.request();
const happened = new Happened();
const log = new HappenedLog(changed);
const explorations = new Explorations(changed);
const sessions = new Sessions(changed);
const trends = new Trends();
const page = new SessionPage(() => lock());
const connection = new Connection(hear, (state) => {
  const was = link.name;
  link = state;
  if (state.name === "unauthorized") lock();
  if (!locked && state.name === "live" && was !== "live") {
    if (shown === null) sessions.refresh();
    else page.hurry();
  }
  changed();
});

function hear(frame) {
  if (frame.type === "creativity_updates") for (const metric of frame.updates) take(metric);
  else if (frame.type === "creativity_update") take(frame.data);
  else if (frame.type === "overview") {
    overview = frame.data;
    happened.begin(overview);
    unlock();
  } else if (frame.type === "happened") happened.take(frame.data);
  else return;
  changed();
}

/** Of a thousand metrics a second only those are kept that are drawn somewhere. */
function take(metric) {
  if (!followed.has(metric.session_id)) return;
  metric.heardAt = performance.now();
  metric.at = new Date().toISOString();
  metrics.set(metric.session_id, metric);
}

function draw() {
  drawStanding(overview, link);
  drawNotices(overview, link, () => connection.start());
  if (overview === null) return;
  const box = byId("overview");
  mark(box, "data-known", "yes");
  mark(box, "aria-busy", "false");
  mark(box, "data-stale", link.name === "waiting" ? "yes" : null);
  say(byId("foot"), footnote());
  announce();
  if (shown !== null) return;
  drawModes(overview, (mode) => sessions.choose(mode));
  drawFigures(overview);
  explorations.draw(overview, metrics, happened.entries);
  log.draw(happened.entries);
  drawOutcomes(overview, happened.entries);
  trends.draw(overview);
  sessions.draw(metrics);
  drawInstances(overview);
  followed = new Set([...explorations.sessions, ...sessions.shown]);
  for (const session of metrics.keys()) if (!followed.has(session)) metrics.delete(session);
}

function footnote() {
  const left = overview.metrics_left_out > 0 ? ` ${some(overview.metrics_left_out, "metric")} came too fast for this view and were left out of it; the counts have all.` : "";
  return `As of ${clock(overview.now)}, counted since ${clock(overview.began)}. Figures are of what is committed.${left}`;
}

/** Trouble is said when it comes and when it changes, how things go now and then: figures that change would never stop. */
function announce() {
  const trouble = troubleOf(overview, link);
  const now = performance.now();
  if (trouble === announced && (trouble !== "" || now - announcedAt < ANNOUNCE_MS)) return;
  announced = trouble;
  announcedAt = now;
  say(byId("announcement"), trouble || summary(overview));
}

function lock() {
  locked = true;
  sessions.stop();
  page.leave();
  byId("overview").hidden = true;
  byId("door").hidden = false;
  say(byId("door-refused"), tried ? "That is not the token." : "");
  byId("door-token").focus();
}

function unlock() {
  if (!locked) return;
  locked = tried = false;
  byId("door").hidden = true;
  byId("door-token").value = "";
  route();
}

byId("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("door-token").value);
  tried = true;
  connection.start();
});

/** `#/session/ID` is a session's page, everything else the overview. */
function route() {
  const found = /^#\/session\/(.+)$/.exec(location.hash);
  let id = null;
  try {
    id = found && decodeURIComponent(found[1]);
  } catch {
    id = found[1];
  }
  const before = shown;
  shown = id;
  document.title = id === null ? "Creative feedback" : `${id} · Creative feedback`;
  if (locked) return;
  byId("overview").hidden = id !== null;
  if (id !== null) {
    sessions.stop();
    page.show(id);
  } else {
    page.leave();
    sessions.refresh();
    if (before !== null) returnTo(before);
  }
  changed();
}

let leftAt = 0; // how far the overview was scrolled

/** Back where one came from: the link to the session that was open, at the place where it was. */
function returnTo(id) {
  draw();
  scrollTo(0, leftAt);
  const link = [...document.querySelectorAll("#overview a.id")].find((one) => one.textContent === id);
  (link ?? byId("main")).focus({ preventScroll: true });
}

addEventListener("click", (event) => {
  if (shown === null && event.target.closest?.('a[href^="#/session/"]')) leftAt = scrollY;
});
addEventListener("hashchange", route);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address belongs to the route
  byId("main").focus();
});

route();
connection.start();
draw();
