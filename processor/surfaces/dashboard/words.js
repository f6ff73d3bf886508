// What the loop's names mean, in words for somebody who does not know the loop.

export const MODES = ["stable", "exploring", "recovering", "emergency"];

export const MODE_MEANING = {
  stable: "Left alone until something calls for an exploration.",
  exploring: "Entropy is being injected along a profile curve.",
  recovering: "Resting before the next exploration.",
  emergency: "Halted: the system was unstable, or somebody stopped it.",
};

const PROFILES = {
  constant: ["Constant", "the same strength throughout"],
  cosine_ramp: ["Cosine ramp", "fades in and out gently"],
  exponential_decay: ["Exponential decay", "starts strong, then calms down"],
  pulse: ["Pulse", "bursts that shake it out of a rut"],
  sinusoidal: ["Sinusoidal", "swings around its strength"],
};

const STARTS = {
  high_novelty: "Novelty is high: there is something to build on",
  low_novelty: "Novelty is low: it has run out of ideas",
  stable_patience: "Stable for long enough: time to try something",
  forced: "Asked for from outside",
};

const ENDS = {
  duration_reached: "ran its full length",
  aesthetic_below_baseline: "was cut short: aesthetics fell too far below the baseline",
  emergency: "was aborted by an emergency",
};

const TURNS = {
  emergency_override: "stopped from outside",
  lambda_max: "λ max above its limit: unstable",
  emergency_hysteresis: "λ max not yet low enough",
  emergency_cleared: "the emergency is over",
  recovery_complete: "rested",
};

function plain(name) {
  return String(name).replaceAll("_", " ");
}

/** A profile's name for people; one of the user's own keeps its name. */
export function profileName(profile) {
  return PROFILES[profile]?.[0] ?? plain(profile);
}

/** What a profile does, or "" for one of the user's own. */
export function profileMeaning(profile) {
  return PROFILES[profile]?.[1] ?? "";
}

/** Why an exploration started. */
export function startReason(reason) {
  if (reason === undefined || reason === null) return "Its start was before this page could see it";
  return STARTS[reason] ?? plain(reason);
}

/** How an exploration ended. */
export function endReason(reason) {
  return ENDS[reason] ?? plain(reason ?? "ended");
}

/** Why a mode changed. */
export function turnReason(reason) {
  return TURNS[reason] ?? STARTS[reason] ?? ENDS[reason] ?? plain(reason ?? "");
}

const PHASES = {
  starting: "starting",
  working: "working",
  recovering: "recovering its producer",
  stopping: "stopping",
  ended: "ended",
  assigned: "assigned, not yet restored",
  restoring: "restoring its state",
  running: "running",
  halted: "halted",
};

/** What an instance or a partition is doing. */
export function phaseName(phase) {
  return PHASES[phase] ?? plain(phase);
}

export const FEATURES = ["novelty", "aesthetic", "volatility", "entropy", "duration", "experience"];
