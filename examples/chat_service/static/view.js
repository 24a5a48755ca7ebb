// What is seen. Text of messages and ids gets into the page as text alone: by textContent.

const byId = (id) => document.getElementById(id);

export const parts = Object.fromEntries(
  ["banner", "form", "log", "menu", "more", "new", "none", "prompt", "send", "side", "state", "stop", "threads", "user"].map(
    (id) => [id, byId(id)],
  ),
);

const STATES = {
  memory: ["has memory", ""],
  stateless: [
    "no memory",
    "Memory is away. You get answers, but they know nothing of what was said before, and nothing is kept.",
  ],
  down: ["out of order", "Memory is away, and so the service refuses to answer."],
  unreachable: ["not connected", "The service does not answer. This page goes on asking."],
};

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

export function showState(state) {
  const [word, banner] = STATES[state];
  parts.state.dataset.state = state;
  setText(parts.state, word);
  setText(parts.banner, banner);
  parts.banner.hidden = !banner;
}

// Screen readers read what is set anew, also when it is the same.
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function clearLog() {
  parts.log.replaceChildren();
}

// Adds a message, and gives what changes it.
export function addMessage(role, text = "") {
  const item = element("li", "", role);
  const body = element("p", text, "text");
  item.append(element("span", role === "user" ? "You: " : "Assistant: ", "unseen"), body);
  parts.log.append(item);
  scrollDown();
  return {
    extend(more) {
      body.append(more); // a string becomes a text node
      scrollDown();
    },
    note(words, kind) {
      item.append(element("p", words, `note ${kind}`));
      scrollDown();
    },
    isEmpty: () => !body.textContent,
  };
}

function scrollDown() {
  parts.log.scrollTop = parts.log.scrollHeight;
}

export function setBusy(busy) {
  parts.log.setAttribute("aria-busy", busy);
  parts.send.hidden = busy;
  parts.stop.hidden = !busy;
}

export function showThreads(threads, current, hasMore, memory) {
  parts.threads.replaceChildren(...threads.map((thread) => threadItem(thread, current)));
  setText(parts.none, memory ? "No conversations yet." : "Without memory there are none to list.");
  parts.none.hidden = threads.length > 0;
  parts.more.hidden = !hasMore;
}

export function markCurrent(current) {
  for (const item of parts.threads.children) {
    const isCurrent = item.dataset.thread === current;
    item.firstChild.setAttribute("aria-current", isCurrent);
  }
}

const WHEN = new Intl.DateTimeFormat([], { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });

function threadItem(thread, current) {
  const when = WHEN.format(new Date(thread.last_active));
  const item = element("li");
  item.dataset.thread = thread.thread_id;
  const open = element("button", when, "open");
  open.append(element("small", `${thread.messages} messages`));
  open.dataset.action = "open";
  open.setAttribute("aria-current", thread.thread_id === current);
  const remove = element("button", "×", "delete");
  remove.dataset.action = "delete";
  remove.setAttribute("aria-label", `Delete the conversation of ${when}`);
  for (const button of [open, remove]) button.type = "button";
  item.append(open, remove);
  return item;
}

export function showSide(shown) {
  parts.side.classList.toggle("shown", shown);
  parts.menu.setAttribute("aria-expanded", shown);
}
