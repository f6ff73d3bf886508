// Numbers, durations and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const NONE = "–";
const MINUS = "−";

function given(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A count: 9,412 up to a hundred thousand, then 1.2M. */
export function count(value) {
  if (!given(value)) return NONE;
  return Math.abs(value) < 100000 ? whole.format(value) : short.format(value);
}

/** An offset or the like: every digit. */
export function exact(value) {
  return given(value) ? whole.format(value) : NONE;
}

/** A rate: one decimal below ten. */
export function rate(value) {
  if (!given(value)) return NONE;
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
}

/** A fixed number of decimals with a true minus sign. */
export function decimal(value, digits = 2) {
  if (!given(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

/** A gain: always signed, "±0.00" where nothing changed. */
export function gain(value, digits = 2) {
  if (!given(value)) return NONE;
  const text = Math.abs(value) < 1000 ? Math.abs(value).toFixed(digits) : count(Math.abs(value));
  if (Number(text) === 0) return `±${text}`;
  return (value < 0 ? MINUS : "+") + text;
}

/** "good", "bad" or "even": the class of a gain. */
export function sign(value) {
  if (!given(value) || Math.abs(value) < 0.005) return "even";
  return value > 0 ? "good" : "bad";
}

/** A share of 1 in per cent. */
export function percent(value) {
  if (!given(value)) return NONE;
  return `${Math.round(value * 100)}%`;
}

/** Milliseconds as [number, unit]. */
export function milliseconds(value) {
  if (!given(value)) return [NONE, ""];
  if (value >= 9950) return [whole.format(value / 1000), "s"];
  if (value >= 995) return [(value / 1000).toFixed(1), "s"];
  return [value < 9.95 ? value.toFixed(1) : whole.format(value), "ms"];
}

/** Seconds: "0.4 s", "12 s", "3 min", "2 h 5 min", "4 d". */
export function duration(seconds) {
  if (!given(seconds)) return NONE;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} d`;
}

/** An RFC 3339 time as the reader's time of day. */
export function clock(rfc3339) {
  const at = new Date(rfc3339);
  return Number.isNaN(at.getTime()) ? NONE : at.toLocaleTimeString("en-GB");
}

/** "1 session", "2 sessions". */
export function some(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
