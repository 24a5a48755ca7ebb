// What the service is asked for. Errors are of the class Refused, with its words and its status.

const AGENT = "assistant";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem.detail || `The service answered ${response.status}.`);
}

function threadsPath(user, thread) {
  const parts = ["users", user, "agents", AGENT, "threads"];
  if (thread !== undefined) parts.push(thread);
  return parts.map(encodeURIComponent).join("/");
}

export async function listThreads(user, after) {
  const page = after ? `?after=${encodeURIComponent(after)}` : "";
  return (await ask(threadsPath(user) + page)).json();
}

export async function readThread(user, thread) {
  return (await ask(threadsPath(user, thread))).json();
}

export async function deleteThread(user, thread) {
  await ask(threadsPath(user, thread), { method: "DELETE" });
}

// "memory", "stateless" or "down", or "unreachable" if not even the service answers.
export async function health() {
  try {
    return (await (await fetch("health")).json()).status;
  } catch {
    return "unreachable";
  }
}

// Gives events {type, ...} as they come, the last of which is "done" or "error".
export async function* run(user, thread, prompt, signal) {
  const body = { user_id: user, thread_id: thread, agent_name: AGENT, prompt };
  const response = await ask("run/stream", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    yield* events.map(parsed);
  }
}

function parsed(event) {
  const fields = Object.fromEntries(
    event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
  );
  return { type: fields.event.trim(), ...JSON.parse(fields.data) };
}
