"use strict";
// Keeps the page true: an event says that a block was committed, then the page's parts are fetched
// anew, at most once a second. The server draws; this file replaces.

const REFRESH_MS = 1000;
const RECONNECT_MS = 3000;
const STALE_AFTER_MS = 20000;
const HEARTBEAT_MS = 5000;

const language = document.body.dataset.lang;
const live = document.getElementById("live");
const sections = [...document.querySelectorAll("[data-fragment]")];

let wanted = 0; // the newest height that an event named
let after = Number(document.body.dataset.after); // the last sequence number seen
let timer = null;
let refreshedAt = 0;
let streamIsUp = false;

function shownHeight() {
  const heights = sections.map((section) => heightOf(section));
  return Math.min(...heights);
}

function heightOf(section) {
  return Number(section.querySelector("[data-height]").dataset.height);
}

function say(state) {
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = live.dataset[state].replace("{height}", shownHeight());
}

function replace(section, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").body;
  const selection = document.getSelection();
  if (!selection.isCollapsed && section.contains(selection.anchorNode)) return; // being read
  const open = new Set([...section.querySelectorAll("details[open]")].map((one) => one.id));
  const scrolled = [...section.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  const focused = section.contains(document.activeElement) ? focusKey(document.activeElement) : "";
  section.replaceChildren(...parsed.childNodes);
  for (const one of section.querySelectorAll("details")) one.open = open.has(one.id);
  section.querySelectorAll(".scroll").forEach((one, index) => {
    one.scrollLeft = scrolled[index] || 0;
  });
  if (focused) {
    const again = [...section.querySelectorAll("button, summary, .scroll")];
    again.find((one) => focusKey(one) === focused)?.focus({ preventScroll: true });
  }
}

function focusKey(element) {
  return element.dataset.copy || element.parentElement?.id || element.className;
}

async function refresh() {
  timer = null;
  refreshedAt = Date.now();
  try {
    await Promise.all(
      sections.map(async (section) => {
        const address = `/console/fragment/${section.dataset.fragment}?lang=${language}`;
        const answer = await fetch(address, { cache: "no-store" });
        if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
        replace(section, await answer.text());
      }),
    );
  } catch {
    say("lost");
    schedule(RECONNECT_MS);
    return;
  }
  if (streamIsUp) say("on");
  if (shownHeight() < wanted) schedule(REFRESH_MS);
}

function schedule(delay_ms) {
  if (timer !== null) return;
  const earliest = refreshedAt + REFRESH_MS - Date.now();
  timer = setTimeout(refresh, Math.max(0, delay_ms, earliest));
}

function connect() {
  const stream = new EventSource(`/v1/events?after=${after}`);
  stream.onopen = () => {
    streamIsUp = true;
    schedule(0); // what happened while nobody listened
  };
  stream.onerror = () => {
    streamIsUp = false;
    say("lost");
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RECONNECT_MS);
  };
  stream.addEventListener("block", (event) => {
    after = Number(event.lastEventId);
    wanted = Math.max(wanted, JSON.parse(event.data).height);
    schedule(0);
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.dataset.done = document.body.dataset.copied;
    setTimeout(() => delete button.dataset.done, 1500);
  } catch {
    document.getSelection().selectAllChildren(code); // no clipboard here: ready for the keyboard
  }
});

// A heartbeat block logs nothing and sends no event; the node's own figures move all the same.
setInterval(() => {
  if (streamIsUp && Date.now() - refreshedAt > STALE_AFTER_MS) schedule(0);
}, HEARTBEAT_MS);

connect();
