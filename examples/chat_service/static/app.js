// What happens when.

import * as api from "./api.js";
import { keepThread, keepUser, keptThread, keptUser, newId } from "./ids.js";
import * as view from "./view.js";

const ASK_EVERY = 2000; // milliseconds between questions for the memory
const LATER = 1000; // milliseconds

const { parts } = view;
let user = keptUser();
let thread = keptThread(user);
let running = null; // what stops the reply that is coming
let state = null;
let listed = { threads: [], next: null };

// Conversations

async function openThread(id) {
  running?.abort();
  thread = id;
  keepThread(user, thread);
  view.clearLog();
  view.markCurrent(thread);
  view.showSide(false);
  const mine = `${user} ${thread}`;
  try {
    const { messages } = await api.readThread(user, thread);
    // Who has gone on to another conversation, or said something in this one, wants it no more.
    if (mine === `${user} ${thread}` && !parts.log.hasChildNodes()) messages.forEach(showStored);
  } catch (error) {
    if (error.status !== 404) showFailure(error); // a new one is not there yet
  }
}

function showStored({ role, text, interrupted }) {
  const message = view.addMessage(role, text);
  if (interrupted) message.note("stopped", "quiet");
}

async function listThreads(after) {
  const owner = user;
  try {
    const page = await api.listThreads(owner, after);
    if (owner !== user) return;
    listed = { threads: after ? [...listed.threads, ...page.threads] : page.threads, next: page.next };
    view.showThreads(listed.threads, thread, listed.next, page.memory);
  } catch {
    // The banner tells what is wrong, and the list comes when that is over.
  }
}

async function deleteThread(id) {
  if (running || !confirm("Delete this conversation?")) return;
  try {
    await api.deleteThread(user, id);
    if (id === thread) await openThread(newId("thread"));
  } catch (error) {
    showFailure(error);
  }
  await listThreads();
}

async function switchUser(id) {
  user = id || newId("user");
  parts.user.value = user;
  keepUser(user);
  view.showThreads([], null, false, true);
  await Promise.all([openThread(keptThread(user)), listThreads()]);
}

// A turn

async function say(prompt) {
  const stop = new AbortController();
  running = stop;
  view.setBusy(true);
  view.addMessage("user", prompt);
  const reply = view.addMessage("assistant");
  try {
    await receive(reply, api.run(user, thread, prompt, stop.signal));
  } catch (error) {
    if (stop.signal.aborted) reply.note("stopped", "quiet");
    else fail(reply, error, prompt);
  }
  if (running === stop) running = null;
  if (!running) view.setBusy(false);
  if (stop.signal.aborted) setTimeout(listThreads, LATER); // the service learns of it later
  await listThreads();
}

async function receive(reply, events) {
  for await (const event of events) {
    if (event.type === "token") reply.extend(event.text);
    else if (event.type === "error") throw new Error(event.detail);
    else {
      if (!event.memory) reply.note("answered without memory, and not kept", "warning");
      return;
    }
  }
  throw new Error("The connection broke before the reply was complete.");
}

function fail(reply, error, prompt) {
  reply.note(error instanceof TypeError ? "The service does not answer." : error.message, "warning");
  if (!parts.prompt.value) parts.prompt.value = prompt; // to be said again
}

function showFailure(error) {
  const words = error instanceof api.Refused ? error.message : "The service does not answer.";
  view.addMessage("assistant").note(words, "warning");
}

// The memory

async function watch() {
  const now = await api.health();
  const isBack = state !== null && now === "memory" && state !== "memory";
  state = now;
  view.showState(now);
  if (isBack) {
    await listThreads();
    if (!parts.log.querySelector(".text:not(:empty)")) await openThread(thread);
  }
  setTimeout(watch, ASK_EVERY);
}

// What the user does

parts.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = parts.prompt.value.trim();
  if (!prompt || running) return;
  parts.prompt.value = "";
  say(prompt);
});
parts.prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  parts.form.requestSubmit();
});
parts.stop.addEventListener("click", () => running?.abort());
parts.new.addEventListener("click", () => openThread(newId("thread")).then(() => parts.prompt.focus()));
parts.more.addEventListener("click", () => listThreads(listed.next));
parts.menu.addEventListener("click", () => view.showSide(!parts.side.classList.contains("shown")));
parts.user.addEventListener("change", () => switchUser(parts.user.value.trim()));
parts.threads.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const id = button?.closest("li").dataset.thread;
  if (button?.dataset.action === "open") openThread(id);
  if (button?.dataset.action === "delete") deleteThread(id);
});

switchUser(user);
watch();
