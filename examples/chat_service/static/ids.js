// Who chats and in which conversation, kept by the browser from one visit to the next.

const inPage = new Map(); // where the browser keeps nothing, as in some private windows

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return inPage.get(key);
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    inPage.set(key, value);
  }
}

function kept(key, prefix) {
  const id = read(key) || newId(prefix);
  write(key, id);
  return id;
}

// crypto.randomUUID is missing where the page came over plain HTTP from another machine.
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  return `${prefix}-${digits.join("")}`;
}

export const keptUser = () => kept("chat.user", "user");
export const keepUser = (user) => write("chat.user", user);
export const keptThread = (user) => kept(`chat.thread.${user}`, "thread");
export const keepThread = (user, thread) => write(`chat.thread.${user}`, thread);
