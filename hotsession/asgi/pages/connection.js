// A WebSocket that comes back: a plain module, without a framework and without a build. `hotsession.js` exports it, too.
//
//     import { Connection } from "/api/sessions/hotsession.js";
//
//     const talk = new Connection("/api/talk", { resend: true });
//     talk.addEventListener("message", (event) => draw(JSON.parse(event.data)));
//     talk.addEventListener("state", () => show(talk.state));
//     talk.open();
//     talk.send({ text: "Hello" }); // now, or as soon as it is open
//
// Closed with 1012 (Service Restart) it comes back at once; lost in any other way, after pauses that grow and differ from
// page to page. The browser sends the same cookie, so the session is the same. What can't be known is whether a message
// that was sent just before the end has arrived. With `resend` each has an `id` and is sent again, after the next
// opening, until the server has sent a JSON object in which `ack` is that id; an answer may carry it. The server drops
// what it has had:
//
//     async for message in websocket.iter_json():
//         chat = await chats.get_or_create(user)
//         answers = chat.data.setdefault("answers", {})  # stored with what answering changes, before the page hears of it
//         if message["id"] not in answers:
//             answers[message["id"]] = await answer(chat, message["text"])
//         await websocket.send_json({"ack": message["id"], "text": answers[message["id"]]})

const SERVICE_RESTART = 1012;
const FINAL = new Set([1000, 1008]); // the server is done, or refuses us
const RESTART_TAKES = 30_000; // milliseconds after a 1012, in which an attempt that fails means "not yet"
const STABLE = 5_000; // who was connected for so long begins anew with the shortest pause
const SETTLED = 250; // the same after a 1012, so that a server that closes each connection with 1012 is not stormed
const ANSWERED_WITHIN = 20_000; // an attempt that takes longer is given up

/**
 * How long to wait before an attempt, in milliseconds.
 *
 * @param {number} tries how many attempts have failed.
 * @param {object} [options]
 * @param {boolean} [options.restarting] whether the server said that it restarts: no pause at first, and short ones then.
 * @param {number} [options.longest] what a pause grows to.
 * @param {number} [options.random] from 0 to 1: half of each pause is chance, so that pages don't come all at once.
 */
export function pause(tries, { restarting = false, longest = 15_000, random = Math.random() } = {}) {
  if (restarting && tries === 0) return 0;
  const whole = restarting ? Math.min(500, 25 * 2 ** tries) : 250 * 2 ** tries;
  return Math.min(longest, whole) * (0.5 + random / 2);
}

/**
 * A WebSocket that is opened again whenever it is lost.
 *
 * Events: "message" for each that came, a `MessageEvent` as of a WebSocket; "state" when `state` changes.
 */
export class Connection extends EventTarget {
  #url;
  #options;
  #socket = null;
  #timer = null; // of the next attempt
  #tries = 0; // attempts since it was open for a while
  #openSince = null;
  #restartingSince = -Infinity;
  #waiting = new Map(); // id -> {message, frame}: not sent, or, with `resend`, not acknowledged
  #name = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join(""); // before each id
  #count = 0;

  state = "closed"; // or "connecting" (first, or the server restarts), "open", "lost" (trying again)
  opened = 0; // how often it was; 1 as long as nothing was lost
  code = null; // why it was closed last: the code
  reason = ""; // and the words of the server

  /**
   * @param {string|URL} url where to; relative to the page, and `https:` is `wss:`.
   * @param {object} [options]
   * @param {string|string[]} [options.protocols] subprotocols, as of a WebSocket.
   * @param {string} [options.binaryType] "blob" or "arraybuffer".
   * @param {boolean} [options.resend] give messages ids, and send each again until the server acknowledges it.
   * @param {(connection: Connection) => any} [options.hello] called at each opening, before anything else is sent: what
   *   it returns is sent first, such as `{after: lastId}`. It may be async, to catch up before the page goes on.
   * @param {(code: number) => boolean} [options.retry] whether to come back after a close with this code; unless told
   *   otherwise after all but 1000 (the server is done) and 1008 (it refuses).
   * @param {number} [options.limit] how many messages may wait.
   * @param {number} [options.longestPause] milliseconds between two attempts, at most.
   */
  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, document.baseURI);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    const retry = (code) => !FINAL.has(code);
    this.#options = { protocols: [], binaryType: "blob", resend: false, retry, limit: 1_000, longestPause: 15_000, ...options };
  }

  /** The messages that were not sent yet; with `resend`, those that were not acknowledged. */
  get waiting() {
    return Array.from(this.#waiting.values(), ({ message }) => message);
  }

  /** Connect, and stay connected. */
  open() {
    if (this.state === "closed") {
      this.#tries = 0;
      this.#is("connecting");
      this.#connect();
      addEventListener("online", this.#wake);
      document.addEventListener("visibilitychange", this.#wake);
    }
    return this;
  }

  /** Close it for good. Messages that wait are kept for the next `open`. */
  close(code = 1000, reason = "") {
    const socket = this.#socket;
    this.#rest();
    socket?.close(code, reason);
  }

  /**
   * Send a message, or let it wait while the connection is not open.
   *
   * @param {string|Blob|BufferSource|object} message an object is sent as JSON; with `resend` it has to be one.
   * @returns {string|undefined} with `resend` the message's id: its own if it has one.
   * @throws {DOMException} "InvalidStateError" when closed, "QuotaExceededError" when too many messages wait already.
   */
  send(message) {
    if (this.state === "closed") throw new DOMException(`${this.#url} is not open`, "InvalidStateError");
    const { resend, limit } = this.#options;
    if (resend) {
      if (frameOf(message) === message || Array.isArray(message)) throw new TypeError("resend: a message is an object, to carry an id");
      message = { id: `${this.#name}-${++this.#count}`, ...message };
    }
    const frame = frameOf(message);
    if (resend || this.state !== "open") {
      if (this.#waiting.size >= limit) throw new DOMException(`${limit} messages wait already`, "QuotaExceededError");
      this.#waiting.set(resend ? message.id : Symbol(), { message, frame });
    }
    if (this.state === "open") this.#socket.send(frame);
    return resend ? message.id : undefined;
  }

  /** Don't send the message of this id again: it was acknowledged, or nobody wants it any more. */
  acknowledge(id) {
    this.#waiting.delete(id);
  }

  // the parts

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = (this.#socket = new WebSocket(this.#url, this.#options.protocols));
    const late = setTimeout(() => socket.close(), ANSWERED_WITHIN);
    socket.binaryType = this.#options.binaryType;
    socket.onopen = () => {
      clearTimeout(late);
      if (socket === this.#socket) this.#begin(socket);
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#take(event);
    };
    socket.onclose = (event) => {
      clearTimeout(late);
      if (socket === this.#socket) this.#lose(event);
    };
  }

  async #begin(socket) {
    this.opened += 1;
    this.#openSince = performance.now();
    this.#restartingSince = -Infinity;
    try {
      const hello = await this.#options.hello?.(this);
      if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return; // lost or closed meanwhile
      if (hello !== undefined) socket.send(frameOf(hello));
    } catch (error) {
      console.error(error);
      socket.close(); // and again later
      return;
    }
    for (const { frame } of this.#waiting.values()) socket.send(frame);
    if (!this.#options.resend) this.#waiting.clear();
    this.#is("open");
  }

  #take({ data, origin }) {
    if (this.#options.resend && typeof data === "string") this.acknowledge(ackIn(data));
    this.dispatchEvent(new MessageEvent("message", { data, origin }));
  }

  #lose({ code, reason }) {
    const now = performance.now();
    const lasted = this.#openSince === null ? 0 : now - this.#openSince;
    if (lasted > (code === SERVICE_RESTART ? SETTLED : STABLE)) this.#tries = 0;
    if (code === SERVICE_RESTART) this.#restartingSince = now;
    Object.assign(this, { code, reason });
    this.#socket = this.#openSince = null;
    if (!this.#options.retry(code)) return this.#rest();
    const restarting = now - this.#restartingSince < RESTART_TAKES;
    this.#is(restarting ? "connecting" : "lost");
    this.#timer = setTimeout(() => this.#connect(), this.#pause(restarting));
  }

  // Who can't be seen, or has no network, is in no hurry. The latter may still reach a server on the same machine.
  #pause(restarting) {
    const longest = this.#options.longestPause;
    const patient = !restarting && (document.visibilityState === "hidden" || !navigator.onLine);
    return patient ? longest : pause(this.#tries++, { restarting, longest });
  }

  #wake = () => {
    if (this.#timer !== null && document.visibilityState === "visible") this.#connect();
  };

  #rest() {
    clearTimeout(this.#timer);
    this.#timer = this.#socket = this.#openSince = null;
    removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    this.#is("closed");
  }

  #is(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

function frameOf(message) {
  const goesAsItIs = typeof message === "string" || message instanceof Blob || message instanceof ArrayBuffer || ArrayBuffer.isView(message);
  return goesAsItIs ? message : JSON.stringify(message);
}

function ackIn(text) {
  if (!text.includes('"ack"')) return undefined;
  try {
    return JSON.parse(text)?.ack;
  } catch {
    return undefined; // not JSON: nothing of ours
  }
}
