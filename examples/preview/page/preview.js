// The previews: Start, Stop, Continue, Start fresh. What there is comes from `Sessions`, the question from `offer`.

import { Sessions, ago, autoResume, offer, said } from "../api/sessions/hotsession.js";

const CONNECTIONS = { connecting: "connecting", live: "live", polling: "asking every few seconds", lost: "nobody answers" };
const LIVE = ["active", "paused"];

const $ = (id) => document.getElementById(id);
const sessions = new Sessions({ limit: 30 });
let project = null;
let joined = null; // id of the session that this page goes on with

const current = () => sessions.list.find((each) => each.key === project && LIVE.includes(each.status));

async function choose(name) {
  project = name;
  joined = null;
  sessionStorage.setItem("project", name);
  $("callers").replaceChildren();
  $("offer").replaceChildren();
  $("always").checked = autoResume(sessions, name).on;
  draw();
  await tried(async () => {
    const describe = (session) => `Its counter is at ${session.data.counter}.`;
    const session = await offer($("offer"), sessions, { key: name, describe, failed: showError });
    if (session !== null && project === name) join(session);
  });
}

function join(session) {
  joined = session.id;
  $("offer").replaceChildren();
  draw();
}

function draw() {
  const session = current();
  const running = session?.status === "active" && session.id === joined;
  for (const button of $("projects").children) button.ariaPressed = button.textContent === project;
  $("state").textContent = session ? `${said(session, sessions.now)}. Session ${session.id.slice(0, 8)}.` : "There is no preview of this project.";
  $("start").disabled = running;
  $("stop").disabled = session?.status !== "active";
  $("fresh").disabled = session === undefined;
  showFrame(running ? `preview/${session.id}` : "");
  $("sessions").replaceChildren(...sessions.list.map(row));
}

function showFrame(address) {
  $("frame").hidden = !address;
  $("resting").hidden = Boolean(address);
  if (($("frame").getAttribute("src") ?? "") === address) return;
  if (address) $("frame").src = address;
  else $("frame").removeAttribute("src");
}

function row(session) {
  const made = document.createElement("tr");
  made.dataset.status = session.status;
  made.dataset.id = session.id;
  const state = session.reason ? `${session.status} (${session.reason})` : session.status;
  const texts = [session.id.slice(0, 8), session.key, state, session.data.counter ?? "–", ago(session.created_at, sessions.now)];
  for (const text of texts) made.insertCell().textContent = text;
  const link = Object.assign(document.createElement("a"), { href: `preview/${session.id}`, textContent: "open", target: "_blank" });
  made.insertCell().append(link);
  return made;
}

async function showFigures() {
  const response = await fetch("api/sessions/metrics");
  if (!response.ok) return;
  const figures = await response.json();
  const share = (part) => (part === null ? "–" : `${Math.round(100 * part)} %`);
  const shown = {
    Created: figures.created,
    Reused: figures.reused,
    "Reuse rate": share(figures.reuse_rate),
    "Chose fresh": share(figures.fresh_rate),
    "Recovered well": share(figures.recovery_rate),
    "Mean lifetime": figures.mean_lifetime === null ? "–" : `${Math.round(figures.mean_lifetime)} s`,
  };
  $("figures").replaceChildren(
    ...Object.entries(shown).map(([name, value]) => {
      const pair = document.createElement("div");
      const term = Object.assign(document.createElement("dt"), { textContent: name });
      pair.append(term, Object.assign(document.createElement("dd"), { textContent: value }));
      return pair;
    }),
  );
}

async function openAtOnce() {
  const response = await fetch(`api/projects/${encodeURIComponent(project)}/open`, { method: "POST" });
  const answers = await response.json();
  if (!response.ok) throw new Error(answers.detail);
  $("callers").replaceChildren(
    ...answers.map(({ by, id, reused }) => Object.assign(document.createElement("li"), { textContent: `The ${by} got ${id.slice(0, 8)}, ${reused ? "reused" : "created"}.` })),
  );
  join(await sessions.start({ key: project }));
}

async function tried(action) {
  try {
    showError(null);
    await action();
  } catch (error) {
    showError(error);
  }
  await showFigures();
}

function showError(error) {
  $("error").textContent = error?.message ?? "";
  $("error").hidden = !error;
}

$("start").onclick = () => tried(async () => join(await sessions.start({ key: project })));
$("fresh").onclick = () => tried(async () => join(await sessions.start({ key: project, forceNew: true })));
$("stop").onclick = () => tried(() => sessions.pause(current().id, "stopped on the page"));
$("three").onclick = () => tried(openAtOnce);
$("always").onchange = () => (autoResume(sessions, project).on = $("always").checked);

sessions.addEventListener("change", draw);
sessions.addEventListener("change", showFigures);
sessions.addEventListener("connection", () => {
  $("connection").dataset.state = sessions.state;
  $("connection").textContent = CONNECTIONS[sessions.state];
});
sessions.listen();
setInterval(draw, 20_000); // "2 minutes ago" changes by itself

const projects = await (await fetch("api/projects")).json();
$("projects").append(
  ...projects.map((name) => Object.assign(document.createElement("button"), { type: "button", textContent: name, onclick: () => choose(name) })),
);
const before = sessionStorage.getItem("project");
choose(projects.includes(before) ? before : projects[0]);
