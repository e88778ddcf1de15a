// The recipient's phone: polls the sandbox for new messages and appends them, without redrawing the earlier ones.

const POLL_INTERVAL_MS = 1000;
const MAX_PHONES = 200;
const MAX_BUBBLES = 200;

const byId = (id) => document.getElementById(id);
const phones = new Map();
let shown = null;
let newest = null;
let lastDay = null;

// The only way by which text from messages enters the page: as text, never as markup.
function element(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null));
  return node;
}

function masked(number) {
  const isShort = number.length < 9;
  const dots = element("span", "", " ••••• ");
  dots.setAttribute("aria-hidden", "true");
  return element("span", "masked", isShort ? "+" : number.slice(0, 3), dots, number.slice(isShort ? -2 : -4));
}

function webLink(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

function dayOf(moment) {
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (moment.toDateString() === today.toDateString()) return "Today";
  if (moment.toDateString() === yesterday.toDateString()) return "Yesterday";
  return calendar.format(moment);
}

function timeOf(moment) {
  const time = element("time", "", clock.format(moment));
  time.dateTime = moment.toISOString();
  time.title = moment.toLocaleString();
  return time;
}

// Messages.

function tile(title, detail, code = false, glyph = "glyph") {
  const badge = element("span", glyph);
  badge.setAttribute("aria-hidden", "true");
  return element("div", "tile", badge, element("div", "", element("strong", "", title), element(code ? "code" : "span", "", detail)));
}

function source(url) {
  const link = element("a", "source", url.href);
  link.href = url.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

function player(url, caption) {
  const video = element("video");
  video.controls = true;
  video.playsInline = true;
  video.preload = "metadata";
  video.setAttribute("aria-label", caption ? `Video: ${caption}` : "Video");
  video.addEventListener("loadedmetadata", () => {
    keepEnd(() => video.classList.toggle("upright", video.videoHeight > video.videoWidth));
  });
  video.addEventListener("error", () => {
    const failure = tile("This video can’t be played here", "The message was accepted, but its video could not be loaded.");
    failure.classList.add("failed");
    keepEnd(() => video.replaceWith(failure));
  });
  video.src = url.href;
  return video;
}

function mediaOf(message, content) {
  const link = typeof content.link === "string" ? content.link : null;
  const url = link === null ? null : webLink(link);
  if (message.type === "video" && url) return [player(url, content.caption), source(url)];
  // The sandbox sets media_url, and only for uploaded videos.
  const uploaded = message.media_url ? webLink(new URL(message.media_url, document.baseURI).href) : null;
  if (message.type === "video" && uploaded) return [player(uploaded, content.caption), element("code", "source", content.id)];
  if (message.type === "text" && typeof content.body === "string") return [];
  const glyph = message.type === "video" ? "glyph" : "glyph plain";
  const title = message.type.charAt(0).toUpperCase() + message.type.slice(1);
  if (typeof content.id === "string") return [tile(`${title} by media id`, content.id, true, glyph)];
  if (link !== null) return [tile(title, link, false, glyph)];
  return [tile(title, JSON.stringify(content), true, glyph)];
}

function tagsOf(message) {
  const tags = element("ul", "tags");
  for (const [name, value] of Object.entries(message.extra_info)) {
    tags.append(element("li", "", element("b", "", `${name} `), value));
  }
  if (message.scenario) {
    tags.append(element("li", "scenario", element("b", "", "scenario "), message.scenario));
  }
  return tags;
}

function bubbleOf(message, moment) {
  const content = message.content ?? {};
  const words = [content.caption, content.body].find((text) => typeof text === "string");
  const caption = words === undefined ? null : element("p", "caption", words);
  if (caption) caption.dir = "auto";
  const bubble = element("article", "bubble", ...mediaOf(message, content), caption);
  bubble.append(element("div", "foot", tagsOf(message), timeOf(moment)));
  bubble.dataset.messageId = message.message_id;
  return bubble;
}

// The chat.

function isAtEnd(box) {
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

function toEnd() {
  const box = byId("messages");
  box.scrollTop = box.scrollHeight;
  byId("newest").hidden = true;
}

// A video changes its height when it has loaded; keep the newest message in view if it was.
function keepEnd(change) {
  const box = byId("messages");
  const atEnd = isAtEnd(box);
  change();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function append(message) {
  const box = byId("messages");
  const moment = new Date(message.received_at);
  const day = dayOf(moment);
  if (day !== lastDay) {
    box.append(element("p", "day", day));
    lastDay = day;
  }
  box.append(bubbleOf(message, moment));
  const bubbles = box.getElementsByClassName("bubble");
  while (bubbles.length > MAX_BUBBLES) bubbles[0].remove();
}

function show(phone) {
  const before = shown;
  shown = phone;
  lastDay = null;
  phone.unread = 0;
  const box = byId("messages");
  box.setAttribute("aria-busy", "true");
  box.replaceChildren();
  const hiddenCount = phone.messages.length - MAX_BUBBLES;
  if (hiddenCount > 0) box.append(element("p", "earlier", `${hiddenCount} earlier messages are not shown`));
  phone.messages.slice(-MAX_BUBBLES).forEach(append);
  box.removeAttribute("aria-busy");
  byId("sender").replaceChildren(masked(phone.messages[0].sender));
  byId("recipient").replaceChildren("on the phone of ", masked(phone.number));
  byId("chat-head").hidden = false;
  box.hidden = false;
  byId("welcome").hidden = true;
  describe(phone);
  if (before) describe(before);
  phone.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  toEnd();
}

// The list of phones.

function phoneOf(number) {
  if (!phones.has(number)) {
    const button = element("button");
    button.type = "button";
    const phone = { number, messages: [], unread: 0, button, item: element("li", "", button) };
    button.addEventListener("click", () => show(phone));
    phones.set(number, phone);
  }
  return phones.get(number);
}

function summary(message) {
  const content = message.content ?? {};
  const words = [content.caption, content.body].find((text) => typeof text === "string");
  return words ?? message.type;
}

function describe(phone) {
  const last = phone.messages[phone.messages.length - 1];
  const number = element("span", "number", masked(phone.number));
  const unread = phone.unread ? element("span", "unread", `${phone.unread}`, element("span", "unseen", " new")) : null;
  phone.button.replaceChildren(
    number, timeOf(new Date(last.received_at)), element("span", "last", summary(last)), ...(unread ? [unread] : []),
  );
  phone.button.setAttribute("aria-current", String(phone === shown));
}

function bringToTop(phone) {
  const list = byId("phones");
  if (list.firstChild === phone.item) return;
  const focused = document.activeElement === phone.button;
  list.prepend(phone.item);
  if (focused) phone.button.focus();
  while (list.childElementCount > MAX_PHONES) list.lastChild.remove();
}

function deliver(messages) {
  const atEnd = isAtEnd(byId("messages"));
  const touched = new Set();
  for (const message of messages) {
    const phone = phoneOf(message.to);
    phone.messages.push(message);
    touched.delete(phone); // so that the phone with the latest message comes last
    touched.add(phone);
    if (phone === shown) append(message);
    else phone.unread += 1;
  }
  for (const phone of touched) {
    describe(phone);
    bringToTop(phone);
  }
  if (shown === null) show([...touched].at(-1));
  else if (touched.has(shown)) {
    if (atEnd) toEnd();
    else byId("newest").hidden = false;
  }
  newest = messages.at(-1).message_id;
  const hiddenPhones = phones.size - MAX_PHONES;
  byId("phone-count").textContent = `(${phones.size})`;
  byId("no-phones").hidden = true;
  byId("clear").hidden = false;
  byId("more-phones").hidden = hiddenPhones <= 0;
  byId("more-phones").textContent = `${hiddenPhones} more phones are not shown.`;
}

function clearPage() {
  phones.clear();
  shown = newest = lastDay = null;
  byId("phones").replaceChildren();
  byId("messages").replaceChildren();
  byId("phone-count").textContent = "";
  for (const id of ["messages", "chat-head", "newest", "clear", "more-phones"]) byId(id).hidden = true;
  for (const id of ["no-phones", "welcome"]) byId(id).hidden = false;
}

// Requests to the sandbox.

function showStatus(text, className) {
  const status = byId("status");
  if (status.textContent === text) return; // a screen reader would announce the same status again
  status.textContent = text;
  status.className = `status ${className}`;
}

async function poll() {
  try {
    const query = newest === null ? "" : `?after=${encodeURIComponent(newest)}`;
    const response = await fetch(`sandbox/messages${query}`, { cache: "no-store" });
    if (response.status === 404) clearPage(); // the sandbox was cleared or restarted
    else if (!response.ok) throw new Error(response.statusText);
    else {
      const messages = await response.json();
      if (messages.length) deliver(messages);
      else if (newest === null) byId("welcome").hidden = false;
    }
    showStatus("Live", "live");
  } catch {
    showStatus("Sandbox not reachable", "lost");
  }
  setTimeout(poll, POLL_INTERVAL_MS);
}

async function fillRecipes() {
  const account = await (await fetch("sandbox/account")).json();
  const host = location.origin;
  byId("connection").textContent = [
    "export AIRFLOW_CONN_KALEYRA_DEFAULT='{",
    '  "conn_type": "kaleyra",',
    `  "host": "${host}",`,
    `  "login": "${account.sid}",`,
    `  "password": "${account.api_key}",`,
    '  "extra": {',
    `    "business_phone_number": "${account.business_phone_number}"`,
    "  }",
    "}'",
  ].join("\n");
  byId("command").textContent = [
    `curl ${host}/v2/${account.sid}/whatsapp/${account.business_phone_number}/messages \\`,
    " -H 'Content-Type: application/json' \\",
    ` -H 'api-key: ${account.api_key}' \\`,
    " -d '{",
    '  "messaging_object": {',
    '    "messaging_product": "whatsapp",',
    '    "to": "+999000000001",',
    '    "type": "video",',
    '    "video": {"id": "1166846181421424", "caption": "Hello!"}',
    "  },",
    '  "extra_info": {"ref": "customer1"}',
    " }'",
  ].join("\n");
}

async function listScenarios() {
  const list = byId("scenario-list");
  if (list.childElementCount) return;
  const scenarios = await (await fetch("sandbox/scenarios")).json();
  for (const { number, what_happens: what } of scenarios) {
    list.append(element("dt", "", number), element("dd", "", what));
  }
}

byId("newest").addEventListener("click", toEnd);
byId("messages").addEventListener("scroll", () => {
  if (isAtEnd(byId("messages"))) byId("newest").hidden = true;
});
byId("scenarios").addEventListener("toggle", listScenarios);
byId("clear").addEventListener("click", async () => {
  if (!confirm("Delete all messages and requests?")) return;
  await fetch("sandbox/messages", { method: "DELETE" });
  clearPage();
});
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard; // with plain http, browsers offer it on loopback only
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copyFrom).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
await Promise.allSettled([fillRecipes(), poll()]);
