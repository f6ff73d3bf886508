// Asking the server. The token, if there is one, stays in this module's memory.

const TIMEOUT_MS = 8000;

let token = null;

/** An answer that is no success: `status` (0: no answer at all), `code`, `message`, `body`. */
export class Refusal extends Error {
  constructor(status, code, message, body = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

/** Takes the token of `#token=…` out of the address, where bookmarks, history and screen shots would keep it. */
export function takeTokenFromAddress() {
  const found = /^#token=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (found === null) return;
  try {
    token = decodeURIComponent(found[1]);
  } catch {
    token = found[1];
  }
  history.replaceState(null, "", location.pathname + location.search + (found[2] ? `#${found[2]}` : ""));
}

/** Uses `given` from now on. */
export function useToken(given) {
  token = given;
}

/** The WebSocket's subprotocols: a browser can send no Authorization header with it. */
export function subprotocols() {
  if (token === null) return ["creative-feedback"];
  const bytes = new TextEncoder().encode(token);
  const base64 = btoa(String.fromCharCode(...bytes));
  return ["creative-feedback", `bearer.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

/** The JSON at `path`; raises `Refusal`. `signal` may end the request early. */
export async function ask(path, signal = undefined) {
  const headers = { accept: "application/json" };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  const signals = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  let response;
  let body;
  try {
    response = await fetch(path, { headers, signal: signals, cache: "no-store", redirect: "error" });
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(response?.status ?? 0, "no_answer", "The server does not answer.");
  }
  if (response.ok) return body;
  const said = body?.error ?? {};
  throw new Refusal(response.status, said.code ?? "error", said.message ?? `The server answered ${response.status}.`, body);
}
