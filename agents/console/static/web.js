// Keys for those who work without a mouse; every page works without this file too.
"use strict";

const PAGES = { w: "/warnings", o: "/", r: "/rules" };
let isGoing = false;

function isTyping(target) {
  return target.closest("input, select, textarea, [contenteditable]") !== null;
}

function step(by) {
  const links = [...document.querySelectorAll("a.go")];
  if (links.length === 0) return;
  const now = links.indexOf(document.activeElement);
  const next = now < 0 ? (by > 0 ? 0 : links.length - 1) : now + by;
  links[Math.max(0, Math.min(links.length - 1, next))].focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (isGoing && PAGES[event.key]) {
    location.assign(PAGES[event.key]);
    return;
  }
  isGoing = event.key === "g";
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
  const search = document.getElementById("search");
  if (event.key === "/" && search !== null) {
    event.preventDefault();
    search.focus();
  }
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  for (const button of event.target.querySelectorAll("button")) button.disabled = true;
});
