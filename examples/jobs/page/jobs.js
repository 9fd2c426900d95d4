// The page of the render jobs: it draws whatever `Sessions` says, and sends prompts.

import { Sessions, ago } from "../api/sessions/hotsession.js";

const CONNECTIONS = { connecting: "connecting", live: "live", polling: "asking every few seconds", lost: "nobody answers" };
const IN_PROGRESS = new Set(["active", "interrupted"]);

const $ = (id) => document.getElementById(id);
const sessions = new Sessions({ limit: 60 });
const cards = new Map(); // job id -> its card

function draw() {
  const jobs = sessions.list;
  for (const [id, card] of cards) {
    if (jobs.some((job) => job.id === id)) continue;
    card.remove();
    cards.delete(id);
  }
  jobs.forEach((job, place) => {
    if (!cards.has(job.id)) cards.set(job.id, newCard(job.id));
    const card = cards.get(job.id);
    if ($("jobs").children[place] !== card) $("jobs").insertBefore(card, $("jobs").children[place] ?? null);
    fill(card, job);
  });
  const running = jobs.filter((job) => IN_PROGRESS.has(job.status)).length;
  $("summary").textContent = jobs.length ? `${sessions.total > jobs.length ? sessions.total : jobs.length} jobs, ${running} in progress` : "";
}

function newCard(id) {
  const card = $("job").content.cloneNode(true).firstElementChild;
  card.dataset.id = id;
  card.querySelector(".cancel").onclick = () => tried(() => sessions.end(id, "cancelled"));
  card.querySelector(".again").onclick = () => tried(() => submit(card.querySelector("h2").textContent));
  return card;
}

function fill(card, job) {
  const { prompt = "(its prompt is lost)", progress = 0 } = job.data;
  const running = IN_PROGRESS.has(job.status);
  card.dataset.status = job.status;
  card.style.setProperty("--blur", `${running ? 3 + (100 - progress) / 10 : 0}px`);
  card.querySelector("h2").textContent = prompt;
  card.querySelector(".status").textContent = job.status === "active" ? `${progress} %` : job.status;
  card.querySelector(".note").textContent = notes(job).join(" · ");
  Object.assign(card.querySelector("progress"), { value: progress, hidden: !running });
  card.querySelector(".cancel").hidden = !running;
  card.querySelector(".again").hidden = !["failed", "ended"].includes(job.status) || !job.data.prompt;
  show(card.querySelector("img"), job, running);
}

function notes(job) {
  return [
    job.status === "failed" && (job.result || job.reason),
    job.status === "ended" && job.reason,
    ago(job.created_at, sessions.now),
    job.attempt > 1 && `attempt ${job.attempt}, from ${job.data.resumed_at ?? 0} % on`,
    job.recovered_from_disk && "recovered from disk",
  ].filter(Boolean);
}

// the sketch as soon as there is one, then the picture; a job that failed may have neither
function show(image, job, running) {
  const wanted = `../api/jobs/${job.id}/picture?${running ? "sketch" : "final"}`;
  if (image.dataset.wanted === wanted && !(running && image.hidden)) return;
  image.dataset.wanted = wanted;
  image.onload = () => (image.hidden = false);
  image.onerror = () => (image.hidden = true); // not yet: the next change asks again
  image.alt = job.data.prompt ?? "";
  image.src = new URL(`${wanted}&${job.version}`, import.meta.url);
}

async function tried(action) {
  try {
    await action();
    showError("");
  } catch (error) {
    showError(error.message);
  }
}

// the key names the wish: sent twice, it makes one job
async function submit(prompt, key = `${Date.now()}-${Math.random()}`) {
  const headers = { "content-type": "application/json" };
  const response = await fetch("api/jobs", { method: "POST", headers, body: JSON.stringify({ prompt, key }) });
  if (!response.ok) throw new Error(`The prompt was refused: ${response.status}.`);
}

function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value.trim();
  if (!prompt) return;
  $("prompt").value = "";
  tried(() => submit(prompt));
});

sessions.addEventListener("change", draw);
sessions.addEventListener("connection", () => {
  $("connection").dataset.state = sessions.state;
  $("connection").textContent = CONNECTIONS[sessions.state];
});
sessions.listen();
setInterval(draw, 20_000); // "2 minutes ago" changes by itself
