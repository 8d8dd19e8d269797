// What htmx cannot say in attributes: polls rest while nobody looks, lists hold still under the hand,
// and a page tells when its server is away.
(() => {
  "use strict";

  const isPoll = (element) => element.hasAttribute("data-poll");
  const held = (part) =>
    part.contains(document.activeElement) ||
    (window.matchMedia("(hover: hover)").matches && part.querySelector("tbody:hover") !== null);
  const lookAgain = () => window.htmx.trigger(document.body, "live");

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && isPoll(event.detail.elt)) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) lookAgain();
  });

  // A button that is just being pressed must not be replaced before it is released.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig } = event.detail;
    if (isPoll(requestConfig.elt) && target.matches(":active")) event.detail.shouldSwap = false;
  });

  // A part that somebody points at or works in keeps its rows and says that they would change.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const part = event.detail.target;
    if (!part.hasAttribute("data-hold") || part.dataset.hold === "released" || !held(part)) return;
    event.detail.shouldSwap = false;
    const note = part.querySelector("[data-changed]");
    if (note) note.hidden = false;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-release]");
    if (!button) return;
    button.closest("[data-hold]").dataset.hold = "released";
    lookAgain();
  });

  const tellOffline = (away) => (event) => {
    if (isPoll(event.detail.elt)) document.getElementById("offline").hidden = !away;
  };
  document.addEventListener("htmx:sendError", tellOffline(true));
  document.addEventListener("htmx:responseError", tellOffline(true));
  document.addEventListener("htmx:afterOnLoad", tellOffline(false));

  // The tab's title says how much is waiting.
  document.addEventListener("htmx:afterSettle", () => {
    const source = document.querySelector("[data-title]");
    if (source) document.title = source.dataset.title;
  });
})();
