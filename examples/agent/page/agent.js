// The page of the agent: what happens comes over an event stream, questions and the stop button go over a WebSocket.
//
// The stream begins with the whole conversation. When it is lost the browser opens it anew and says which event came
// last, so it goes on without a gap or a repeat. The socket is a `Connection`, which sends again what was not acknowledged.

import { Connection } from "../api/sessions/hotsession.js";

const STATES = { connecting: "connecting", lost: "trying again", closed: "closed" };
const ENDS = { answered: "", stopped: "stopped · ", failed: "failed · " };

const $ = (id) => document.getElementById(id);
const talk = new Connection("api/ask", { resend: true, longestPause: 3_000 });

let stream = null;
let streams = 0; // how often it was opened
let conversation = null; // the id of the one that is shown
let number = null; // of the connection
let unanswered = []; // {question, answer}: the elements of each, in the order in which they were asked

// what happens, by the type of the event

const SHOW = {
  begin({ conversation: id, code }) {
    if (conversation !== id) clear(id);
    showCode(code);
  },
  asked({ message, text }) {
    const question = questionOf(message) ?? addQuestion(message, text);
    question.classList.remove("waiting");
    unanswered.push({ question, answer: null });
  },
  plan({ steps }) {
    const list = answer().querySelector(".steps");
    list.append(...steps.map((step) => Object.assign(document.createElement("li"), { textContent: step })));
  },
  call({ step, text }) {
    const item = answer().querySelectorAll(".steps > li")[step];
    item.dataset.state = "called";
    item.append(Object.assign(document.createElement("code"), { textContent: text }));
  },
  result({ step, text }) {
    const item = answer().querySelectorAll(".steps > li")[step];
    item.dataset.state = "done";
    item.append(Object.assign(document.createElement("samp"), { textContent: text }));
  },
  words({ text }) {
    answer().dataset.state = "talking";
    answer().querySelector(".answer").append(text);
  },
  answered: end,
  stopped: end,
  failed: end,
};

function end({ type, text, code, error }) {
  const item = answer();
  item.dataset.state = type;
  item.querySelector(".answer").textContent = error ?? text;
  item.querySelector("small").textContent = `${ENDS[type]}code ${code}`;
  unanswered.shift();
}

function listen() {
  conversation = null; // a stream of which nothing was heard yet begins with everything
  stream = new EventSource("api/events");
  stream.onopen = () => {
    streams += 1;
    showOpened();
  };
  stream.onmessage = (event) => {
    const happened = JSON.parse(event.data);
    const atEnd = isAtEnd();
    SHOW[happened.type](happened);
    if (happened.id) $("events").textContent = happened.id;
    $("stop").disabled = !unanswered.length;
    if (atEnd) $("conversation").scrollTop = $("conversation").scrollHeight;
  };
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 1_000); // what the server answered was no stream
  };
}

talk.addEventListener("message", (event) => {
  const { type, text, ...said } = JSON.parse(event.data);
  showError(type === "refused" ? text : "");
  if (type === "hello") {
    number = said.connection;
    showState();
    showIdeas(said.tools);
  }
  if (type === "heard" && conversation !== null && said.conversation !== conversation) {
    stream.close(); // what it tells of is over
    listen();
  }
});
talk.addEventListener("state", showState);

// the parts

function clear(id) {
  conversation = id;
  unanswered = [];
  $("conversation").replaceChildren();
  for (const { id: message, text } of talk.waiting) if (text) addQuestion(message, text).classList.add("waiting");
}

function addQuestion(message, text) {
  const item = Object.assign(document.createElement("li"), { className: "you" });
  item.dataset.message = message;
  item.append(Object.assign(document.createElement("p"), { textContent: text }));
  $("conversation").append(item);
  return item;
}

function questionOf(message) {
  return document.querySelector(`#conversation [data-message="${CSS.escape(message)}"]`);
}

// the answer to the question that was asked first, made when there is something to put into it
function answer() {
  const first = unanswered[0];
  if (!first.answer) {
    first.answer = $("run").content.cloneNode(true).firstElementChild;
    first.question.after(first.answer);
  }
  return first.answer;
}

function isAtEnd() {
  const { scrollTop, clientHeight, scrollHeight } = $("conversation");
  return scrollTop + clientHeight > scrollHeight - 40;
}

function showState() {
  $("connection").dataset.state = talk.state;
  $("connection").textContent = talk.state === "open" ? `no. ${number ?? "…"}` : STATES[talk.state];
  showOpened();
}

function showOpened() {
  const times = (count) => (count === 1 ? "once" : `${count} times`);
  $("opened").textContent = `socket ${times(talk.opened)}, stream ${times(streams)}`;
}

function showCode(code) {
  const before = $("code").textContent;
  $("code").textContent = code;
  if (before === "–" || before === code) return;
  $("code").animate([{ background: "var(--mark)" }, { background: "transparent" }], 1_500);
}

function showIdeas(tools) {
  const button = ({ purpose, example }) => Object.assign(document.createElement("button"), { type: "button", textContent: example, title: purpose });
  $("ideas").replaceChildren(...[{ purpose: "tell of itself", example: "What can you do?" }, ...tools].map(button));
}

function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

function ask(text) {
  const message = talk.send({ text });
  addQuestion(message, text).classList.add("waiting");
  $("conversation").scrollTop = $("conversation").scrollHeight;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) ask(text);
  $("text").value = "";
});
$("ideas").addEventListener("click", (event) => {
  if (event.target.matches("button")) ask(event.target.textContent);
});
$("stop").addEventListener("click", () => talk.send({ stop: true }));
$("new").addEventListener("click", async () => {
  const response = await fetch("api/conversation", { method: "POST" }).catch((error) => error);
  showError(response.ok ? "" : `No new conversation: ${response.message ?? response.status}.`);
  $("text").focus();
});

listen();
talk.open();
