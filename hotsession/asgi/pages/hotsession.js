// The browser's side of hotsession's session routes: a plain module, without a framework and without a build.
//
//     import { Sessions, offer, ago } from "/api/sessions/hotsession.js";
//
//     const sessions = new Sessions({ key: "ada" }).listen();         // of the routes that this module came from
//     sessions.addEventListener("change", () => draw(sessions.list)); // newest first
//     sessions.addEventListener("connection", () => show(sessions.state));
//
//     const session = await offer(document.querySelector("#offer"), sessions, { key: "ada" });
//
// Changes come over an event stream. The browser opens it anew when it ends, and says which event it heard last, so
// that what happened meanwhile comes too. While there is no stream the list is asked for every few seconds. And because
// a stream can be silent without being open (a laptop that slept, a proxy that holds it back), the list is also asked
// for now and then while it is, and when the page comes back into view. So a page never waits for ever.

export { Connection } from "./connection.js"; // a WebSocket that comes back

const POLL_EVERY = 3_000; // milliseconds, while there is no event stream
const CHECK_EVERY = 30_000; // while there is one
const LIVE = new Set(["active", "paused"]);

/** What the routes refuse: `status` is of HTTP, `code` for programs, the message for people, `state` the session's. */
export class SessionError extends Error {
  constructor(status, { code = "error", detail = `the server answered ${status}`, status: state, ...more } = {}) {
    super(detail);
    this.name = "SessionError";
    Object.assign(this, { ...more, status, code, state });
  }
}

/**
 * The sessions behind some mounted routes.
 *
 * Events: "change" when another session is in `list`, or the same in another version; "connection" when `state` changes.
 */
export class Sessions extends EventTarget {
  #options;
  #known = new Map(); // id -> session, each as it was heard of last
  #shown = ""; // what the last "change" told of
  #source = null;
  #lastId = null;
  #timer = null;
  #skew = 0; // milliseconds by which the server's clock is ahead of ours

  total = 0; // how many sessions there are beyond the limit, as of the last list
  state = "closed"; // or "connecting", "live" (an event stream is open), "polling" (none is), "lost" (nobody answers)
  error = null; // why the last request for the list failed, while the state is "lost"

  /**
   * @param {object} [options]
   * @param {string|URL} [options.base] where the routes are mounted; where this module came from when left out.
   * @param {string|string[]} [options.key] only the sessions of this key; an array is a key of several parts.
   * @param {string} [options.status] only those in this state.
   * @param {number} [options.limit] at most so many, the newest.
   * @param {number} [options.pollEvery] milliseconds between two lists while there is no event stream.
   */
  constructor({ base, key, status, limit = 100, pollEvery = POLL_EVERY } = {}) {
    super();
    this.base = base === undefined ? new URL(".", import.meta.url) : new URL(`${base}`.replace(/\/?$/, "/"), location.href);
    this.#options = { key, status, limit, pollEvery };
  }

  /** The sessions as they are now, newest first. */
  get list() {
    const { status, limit } = this.#options;
    return [...this.#known.values()]
      .filter((session) => status === undefined || session.status === status)
      .sort((one, other) => other.created_at.localeCompare(one.created_at))
      .slice(0, limit);
  }

  /** The server's time in milliseconds since the epoch, whatever the clock of this device says. */
  get now() {
    return Date.now() + this.#skew;
  }

  /** Begin to listen. */
  listen() {
    if (this.state === "closed") {
      this.#is("connecting");
      this.#open();
      this.refresh();
      this.#schedule();
      addEventListener("online", this.#wake);
      document.addEventListener("visibilitychange", this.#wake);
    }
    return this;
  }

  /** Listen no more. */
  close() {
    this.#is("closed");
    this.#source?.close();
    clearTimeout(this.#timer);
    removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
  }

  /** Ask for the list now. It does not fail: `state` and `error` tell. */
  async refresh() {
    const before = new Map(this.#known);
    try {
      const { sessions, total } = await this.all();
      for (const [id, session] of before) {
        if (this.#known.get(id) === session) this.#known.delete(id); // no event told of it since: the list decides
      }
      sessions.forEach((session) => this.#take(session));
      this.total = total;
      if (this.state === "lost") this.#is("polling");
      this.#tell();
    } catch (error) {
      this.#is(this.state === "closed" ? "closed" : "lost", error);
    }
  }

  // asking and changing; each rejects with a SessionError for what is refused, and a TypeError when nobody answers

  /** One list: `{sessions, total}`. */
  all({ key, status, limit } = this.#options) {
    return this.#ask("", { query: { key, status, limit } });
  }

  /** One session. */
  get(id) {
    return this.#ask(encodeURIComponent(id));
  }

  /** The live session of a key, resumed if it was paused, or a new one; `forceNew` ends the one that is there. */
  start({ key = this.#options.key, data, forceNew = false } = {}) {
    return this.#change("", { key, data, force_new: forceNew });
  }

  pause = (id, reason) => this.#change(`${encodeURIComponent(id)}/pause`, { reason });
  resume = (id) => this.#change(`${encodeURIComponent(id)}/resume`, {});
  end = (id, reason) => this.#change(`${encodeURIComponent(id)}/end`, { reason });

  // the parts

  #open() {
    this.#source?.close();
    const source = (this.#source = new EventSource(this.#url("events", { key: this.#options.key, last_event_id: this.#lastId })));
    const listed = (event) => {
      this.#lastId = event.lastEventId;
      this.refresh();
    };
    source.onopen = () => this.#is("live");
    source.onerror = () => {
      if (this.state !== "live") return; // the timer runs already
      this.#is("connecting"); // the browser tries again by itself
      this.#schedule();
    };
    source.addEventListener("ready", listed); // from here on nothing is missed
    source.addEventListener("resync", listed); // what was missed can't be told one by one
    source.addEventListener("session", (event) => {
      this.#lastId = event.lastEventId;
      this.#take(JSON.parse(event.data));
      this.#tell();
    });
  }

  async #tick() {
    await this.refresh();
    if (this.state === "closed") return;
    if (this.state === "connecting") this.#is("polling"); // it had its time
    if (this.#source.readyState === EventSource.CLOSED) this.#open(); // the browser gave up: it does at any status but 200
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    const isInNoHurry = this.state === "live" || this.error?.status < 500; // what is refused now will be in a moment
    this.#timer = setTimeout(() => this.#tick(), isInNoHurry ? CHECK_EVERY : this.#options.pollEvery);
  }

  #wake = () => {
    if (document.visibilityState === "visible") this.#tick();
  };

  #take(session) {
    const known = this.#known.get(session.id);
    if (known === undefined || known.version <= session.version) this.#known.set(session.id, session);
  }

  #tell() {
    const shown = JSON.stringify(this.list.map(({ id, version, status }) => [id, version, status]));
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.dispatchEvent(new Event("change"));
  }

  #is(state, error = null) {
    if (state === "lost" && this.state === "live") return; // the stream will tell
    this.error = error;
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("connection"));
  }

  async #change(path, body) {
    const session = await this.#ask(path, { method: "POST", body });
    this.#take(session);
    this.#tell();
    return session;
  }

  async #ask(path, { method = "GET", query = {}, body } = {}) {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(this.#url(path, query), { method, headers, body: JSON.stringify(body) });
    const skew = Date.parse(response.headers.get("date")) - Date.now();
    this.#skew = Math.abs(skew) > 2_000 ? skew : 0; // the header knows no fractions of a second, and may be hidden from us
    const content = await response.json().catch(() => undefined);
    if (!response.ok) throw new SessionError(response.status, content);
    return content;
  }

  #url(path, query) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) {
      for (const part of [value].flat()) if (part !== undefined && part !== null) url.searchParams.append(name, part);
    }
    return url;
  }
}

/**
 * Offer somebody who comes back to go on with the session that is there or to start fresh, and wait for the answer.
 *
 * What is made has no style: a paragraph, two buttons (`data-choice="continue"`, `"fresh"`) and a checkbox, by which the
 * session is continued without a question from the next time on. The browser remembers that.
 *
 * @param {HTMLElement} element what to put the question into; it is emptied when the answer is there.
 * @param {Sessions} sessions where to look.
 * @param {object} options
 * @param {string|string[]} options.key whose session.
 * @param {object} [options.data] what a fresh one starts with.
 * @param {(session: object) => string} [options.describe] what is in it, in a few words.
 * @param {(error: Error) => void} [options.failed] told of what goes wrong; the question stays.
 * @returns {Promise<object|null>} the session, continued or fresh; null if there is none to go on with.
 */
export async function offer(element, sessions, { key, data, describe = () => "", failed = console.error }) {
  const session = (await sessions.all({ key })).sessions.find((each) => LIVE.has(each.status));
  if (session === undefined) return null;
  const preference = autoResume(sessions, key);
  if (preference.on) return sessions.start({ key });
  return new Promise((resolve) => {
    const choose = (forceNew) => async () => {
      try {
        const chosen = await sessions.start({ key, data, forceNew });
        element.replaceChildren();
        resolve(chosen);
      } catch (error) {
        failed(error);
      }
    };
    const text = document.createElement("p");
    text.textContent = [`${said(session, sessions.now)}.`, describe(session)].filter(Boolean).join(" ");
    const again = document.createElement("input");
    again.type = "checkbox";
    again.onchange = () => (preference.on = again.checked);
    const label = document.createElement("label");
    label.append(again, " Always continue");
    element.replaceChildren(text, button("Continue", "continue", choose(false)), button("Start fresh", "fresh", choose(true)), label);
  });
}

/** Whether the session of a key is continued without a question: `.on`, which may be set. */
export function autoResume(sessions, key) {
  const name = `hotsession auto-resume ${sessions.base.pathname} ${JSON.stringify(key)}`;
  return {
    get on() {
      return localStorage.getItem(name) === "yes";
    },
    set on(wish) {
      if (wish) localStorage.setItem(name, "yes");
      else localStorage.removeItem(name);
    },
  };
}

/** A session's state and age in words: "Paused 5 minutes ago, begun yesterday". */
export function said(session, now = Date.now()) {
  const state = session.status[0].toUpperCase() + session.status.slice(1);
  const since = session.status === "active" ? `, last used ${ago(session.last_seen_at, now)}` : ` ${ago(session.updated_at, now)}`;
  return `${state}${since}, begun ${ago(session.created_at, now)}`;
}

/** How long ago a moment was, in words of the page's language. */
export function ago(moment, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(moment)) / 1000);
  if (seconds < 10) return "just now";
  const [unit, length] = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]].find((each) => seconds >= each[1]);
  return new Intl.RelativeTimeFormat(document.documentElement.lang || undefined, { numeric: "auto" }).format(-Math.floor(seconds / length), unit);
}

function button(text, choice, onclick) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick });
  made.dataset.choice = choice;
  return made;
}
