// The server's routes, relative to the page, so that they work below any prefix.

const BASE = new URL(".", document.baseURI.split("#")[0]);

/** An error as the server describes it: what is wrong, and what to do. */
export class ApiError extends Error {
  constructor({ kind = "Error", problem, remedy = null, slide = null }, status = 0) {
    super(problem);
    this.name = "ApiError";
    Object.assign(this, { kind, problem, remedy, slide, status });
  }
}

let askForToken = null;

/** Who is asked when the server wants a token: a function that resolves to true once there is a new one. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** An address of the server as the browser needs it; "/api/…" and "api/…" mean the same. */
export function url(path, parameters = null) {
  const inside = path.startsWith(BASE.pathname) ? path : path.replace(/^\/+/, "");
  const whole = new URL(inside, BASE);
  if (whole.origin !== BASE.origin) {
    throw new ApiError({ problem: `the server named an address outside itself, ${whole.origin}` });
  }
  for (const [name, value] of Object.entries(parameters ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") whole.searchParams.append(name, one);
    }
  }
  return whole.href;
}

/** `api/slides/{id}/…` with the id made safe for a path. */
export function slidePath(slideId, rest = "") {
  return `api/slides/${encodeURIComponent(slideId)}${rest}`;
}

export const get = (path, { parameters = null, signal = null } = {}) => answer("GET", url(path, parameters), { signal });
export const post = (path, body, { signal = null } = {}) => answer("POST", url(path), { body, signal });

/** { value, tag }: an answer and its ETag, null where there is none. */
export async function getTagged(path) {
  const response = await send("GET", url(path), {});
  return { value: await response.json(), tag: response.headers.get("ETag") };
}

/** Replace what was read with `tag` ("*" for whatever is there); { value, tag } of the answer. */
export async function putTagged(path, body, tag) {
  const response = await send("PUT", url(path), { body, more: tag ? { "If-Match": tag } : {} });
  return { value: await response.json(), tag: response.headers.get("ETag") };
}
export const remove = (path) => answer("DELETE", url(path), {});

/** The raw answer, for bytes and headers. */
export const fetchRaw = (path, { parameters = null, signal = null } = {}) => send("GET", url(path, parameters), { signal });

async function answer(method, address, options) {
  const response = await send(method, address, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ problem: "the server's answer could not be read", remedy: "Check that this address is a slidelake server." }, response.status);
  }
}

async function send(method, address, { body = undefined, signal = null, retried = false, more = {} } = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json", ...more };
  let response;
  try {
    response = await fetch(address, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ kind: "Unreachable", problem: "the server cannot be reached", remedy: "Check that “slidelake serve” is still running, then try again." });
  }
  if (response.ok) return response;
  if (response.status === 401 && !retried && askForToken && (await askForToken(await described(response)))) {
    return send(method, address, { body, signal, retried: true, more });
  }
  throw await described(response);
}

/** The error that a response tells, whatever shape it came in. */
export async function described(response) {
  let told = null;
  try {
    told = (await response.clone().json()).error;
  } catch {
    told = null; // A proxy's page, not ours: the status has to do.
  }
  if (told?.problem) return new ApiError(told, response.status);
  return new ApiError({ problem: `the server answered ${response.status} ${response.statusText}`.trim(), remedy: "Try again; the server's log says more." }, response.status);
}
