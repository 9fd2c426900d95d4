// The assistant: messages and buttons over plain HTTP. Whose session it is, and that it is one, is the server's business.

const $ = (id) => document.getElementById(id);
const FIRST = ["Bonjour", "View Sites"];

async function ask(path, options) {
  const response = await fetch(path, options);
  const chat = await response.json();
  if (!response.ok) throw new Error(chat.detail);
  show(chat);
}

const load = () => ask(`api/chat?user=${encodeURIComponent($("user").value)}`);

function say(text) {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ user: $("user").value, text });
  ask("api/chat", { method: "POST", headers, body }).catch((error) => ($("chat").textContent = error.message));
}

function show({ session, messages }) {
  $("messages").replaceChildren(...messages.map(item));
  $("messages").scrollTop = $("messages").scrollHeight;
  $("choices").replaceChildren(
    ...[...new Set([...(messages.at(-1)?.choices ?? []), ...FIRST])].map((text) =>
      Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: () => say(text) }),
    ),
  );
  const sessions = new Set(messages.map((each) => each.session).filter(Boolean));
  $("chat").textContent = `Session ${session.slice(0, 8)}. All answers are from ${sessions.size > 1 ? `${sessions.size} sessions!` : "one session."}`;
}

function item({ by, text, session, seen, tasks }) {
  const made = document.createElement("li");
  made.className = by === "you" ? "you" : "bot";
  const words = document.createElement("div");
  words.append(Object.assign(document.createElement("p"), { textContent: text }));
  if (tasks) {
    const list = document.createElement("ul");
    list.append(...tasks.map((task) => Object.assign(document.createElement("li"), { textContent: task })));
    words.append(list);
  }
  made.append(words);
  if (session) {
    const small = document.createElement("small");
    small.textContent = `${by} · session ${session.slice(0, 8)} · saw ${seen} ${seen === 1 ? "message" : "messages"}`;
    made.append(small);
  }
  return made;
}

$("user").onchange = load;
$("form").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) say(text);
};
load();
