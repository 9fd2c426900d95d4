// The page of the trip planner: the history over HTTP, the chat over a WebSocket that comes back when it is lost.
// A message waits until it is answered: the connection sends it again if need be, and the server knows it by its id.

import { Connection } from "../api/sessions/hotsession.js";

const STATES = { connecting: "connecting", lost: "trying again", closed: "closed" };

const $ = (id) => document.getElementById(id);
// after it was lost, what was said meanwhile comes first: another tab, or a newer chat, may have gone on
const hello = () => (talk.opened > 1 ? showHistory() : undefined);
const talk = new Connection("api/talk", { resend: true, hello, longestPause: 3_000 });

let number = null; // of the connection
let lastCode = null;

async function showHistory(method = "GET") {
  const response = await fetch("api/chat", { method });
  if (!response.ok) throw new Error(`the history answered ${response.status}`);
  const chat = await response.json();
  chat.messages.forEach((each) => talk.acknowledge(each.id)); // what is in the history has been answered
  lastCode = null;
  $("messages").replaceChildren();
  chat.messages.forEach(addMessage);
  for (const { id, text } of talk.waiting) addMessage({ role: "you", text, id }).classList.add("waiting");
  showCode(chat.code);
  $("trip").textContent = chat.messages.length ? chat.trip : "Where to?";
  showKeys(chat.accounts);
}

function showKeys(accounts) {
  const chosen = $("key").value || sessionStorage.getItem("key");
  $("key").replaceChildren(...Object.entries(accounts).map(([key, name]) => new Option(`${key} (${name})`, key)));
  if (chosen in accounts) $("key").value = chosen;
}

// the cookie comes with the history, so the connection is that of the same visitor
async function begin() {
  try {
    await showHistory();
    talk.open();
  } catch {
    showState("lost");
    setTimeout(begin, 1_000);
  }
}

const RECEIVE = {
  hello({ connection, code }) {
    number = connection;
    showState();
    showCode(code);
  },
  // newer code has taken over the connection, which is the same
  code({ code }) {
    showCode(code);
  },
  here({ pages }) {
    $("here").textContent = pages;
  },
  words({ to, text }) {
    if (!messageOf(to)?.matches(".waiting")) return; // another chat was begun
    const item = talking(to) ?? add(Object.assign(document.createElement("li"), { className: "talking" }));
    item.dataset.to = to;
    if (!item.firstChild) item.append(document.createElement("p"));
    item.firstChild.append(text);
    scroll();
  },
  answer({ ack, message, answers, trip }) {
    showError("");
    talking(ack)?.remove();
    if (messageOf(ack)?.matches(".waiting")) addMessage(message); // else the history has it already
    messageOf(ack)?.classList.remove("waiting");
    $("trip").textContent = trip;
    $("service").textContent = `${message.service}, ${answers} answered`;
  },
  error({ ack, text }) {
    showError(text);
    messageOf(ack)?.remove();
  },
};

talk.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  RECEIVE[message.type](message);
});
talk.addEventListener("state", () => {
  showState();
  document.querySelectorAll("#messages .talking").forEach((each) => each.remove()); // cut, or complete by now
});

const messageOf = (id) => document.querySelector(`#messages [data-id="${CSS.escape(id)}"]`);
const talking = (id) => document.querySelector(`#messages [data-to="${CSS.escape(id)}"]`);

function addMessage({ role, text, id, code, service }) {
  if (code) showChange(code);
  const item = document.createElement("li");
  item.className = role;
  if (id) item.dataset.id = id;
  const words = document.createElement("p");
  words.textContent = text;
  item.append(words);
  if (code) {
    const small = document.createElement("small");
    small.textContent = `${service} · code ${code}`;
    item.append(small);
  }
  add(item);
  $("count").textContent = document.querySelectorAll("#messages .you, #messages .planner").length;
  return item;
}

function showCode(code) {
  if ($("code").textContent !== code) $("service").textContent = "none yet";
  $("code").textContent = code;
  if (document.querySelector("#messages li")) showChange(code);
}

// a line across the chat wherever newer code begins to answer
function showChange(code) {
  if (lastCode !== null && lastCode !== code) {
    const line = document.createElement("li");
    line.className = "change";
    line.textContent = `new code: ${code}`;
    add(line);
  }
  lastCode = code;
}

function add(item) {
  $("messages").append(item);
  scroll();
  return item;
}

function scroll() {
  $("messages").scrollTop = $("messages").scrollHeight;
}

function showState(state = talk.state) {
  $("connection").dataset.state = state;
  $("connection").textContent = state === "open" ? `no. ${number ?? "…"}` : STATES[state];
  $("opened").textContent = talk.opened === 1 ? "once" : `${talk.opened} times`;
}

function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  const id = talk.send({ text, api_key: $("key").value });
  addMessage({ role: "you", text, id }).classList.add("waiting");
  $("text").value = "";
});
$("key").addEventListener("change", () => sessionStorage.setItem("key", $("key").value));
$("new").addEventListener("click", () => {
  talk.waiting.forEach(({ id }) => talk.acknowledge(id)); // nobody wants their answers any more
  showHistory("POST").catch((error) => showError(`No new chat: ${error.message}.`));
  $("text").focus();
});

begin();
