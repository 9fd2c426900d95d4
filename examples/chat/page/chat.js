// The page of the trip planner: the history over HTTP, the chat over a WebSocket that comes back when it is closed.
// A message stays in `waiting` until it is answered and is sent again after a reconnect; the server knows it by its id.

const SERVICE_RESTART = 1012; // the server has new code: come back at once
const LONGEST_PAUSE = 5000;

const $ = (id) => document.getElementById(id);
const waiting = new Map(); // message id -> what to send

let socket = null;
let failures = 0;
let lastCode = null;

async function showHistory(method = "GET") {
  const response = await fetch("api/chat", { method });
  if (!response.ok) throw new Error(`the history answered ${response.status}`);
  const chat = await response.json();
  chat.messages.forEach((each) => waiting.delete(each.id)); // what is in the history has been answered
  lastCode = null;
  $("messages").replaceChildren();
  chat.messages.forEach(addMessage);
  for (const { id, text } of waiting.values()) addMessage({ role: "you", text, id }).classList.add("waiting");
  showCode(chat.code);
  $("trip").textContent = chat.messages.length ? chat.trip : "Where to?";
  showKeys(chat.accounts);
}

function showKeys(accounts) {
  const chosen = $("key").value || sessionStorage.getItem("key");
  $("key").replaceChildren(...Object.entries(accounts).map(([key, name]) => new Option(`${key} (${name})`, key)));
  if (chosen in accounts) $("key").value = chosen;
}

function connect() {
  showState("connecting", "connecting");
  socket = new WebSocket(Object.assign(new URL("api/talk", location.href), { protocol: location.protocol === "https:" ? "wss:" : "ws:" }));
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = (event) => comeBack(event.code);
}

async function comeBack(code) {
  failures = code === SERVICE_RESTART ? 0 : failures + 1;
  const pause = failures ? Math.min(LONGEST_PAUSE, 200 * 2 ** failures) * (0.5 + Math.random() / 2) : 0;
  if (failures) showState("lost", "trying again");
  await new Promise((resolve) => setTimeout(resolve, pause));
  try {
    await showHistory(); // another tab, or a newer chat, may have gone on
    connect();
  } catch {
    comeBack(0);
  }
}

function receive(answer) {
  if (answer.type === "hello") {
    if (!waiting.size) failures = 0;
    showState("open", `no. ${answer.connection}`);
    showCode(answer.code);
    waiting.forEach((message) => socket.send(JSON.stringify(message)));
    return;
  }
  showError(answer.type === "error" ? answer.text : "");
  if (answer.type === "error") {
    waiting.clear();
    document.querySelectorAll("#messages .waiting").forEach((each) => each.remove());
    return;
  }
  failures = 0;
  waiting.delete(answer.to);
  document.querySelector(`#messages [data-id="${answer.to}"]`)?.classList.remove("waiting");
  addMessage(answer.message);
  $("trip").textContent = answer.trip;
  $("service").textContent = `${answer.message.service}, ${answer.answers} answered`;
}

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
  $("messages").scrollTop = $("messages").scrollHeight;
}

function showState(state, text) {
  $("connection").dataset.state = state;
  $("connection").textContent = text;
}

function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  const message = { id: `${Date.now()}-${Math.random().toString(36).slice(2)}`, text, api_key: $("key").value };
  waiting.set(message.id, message);
  addMessage({ role: "you", text, id: message.id }).classList.add("waiting");
  $("text").value = "";
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
});
$("key").addEventListener("change", () => sessionStorage.setItem("key", $("key").value));
$("new").addEventListener("click", () => {
  waiting.clear();
  showHistory("POST").catch((error) => showError(`No new chat: ${error.message}.`));
  $("text").focus();
});

showHistory().then(connect, () => comeBack(0));
