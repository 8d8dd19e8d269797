// What htmx cannot say in attributes; each rule is switched on by an attribute of the page.
(() => {
  "use strict";
  const all = (selector) => [...document.querySelectorAll(selector)];
  const on = (names, act) => names.split(" ").forEach((name) => document.addEventListener(name, act));
  const [offline, help, icon, live] = ["offline", "help", "icon", "say"].map((id) => document.getElementById(id));
  const say = (words) => (live.textContent = words);
  const state = () => document.querySelector("[data-title]")?.dataset ?? {};
  let [told, last] = [state().say, null];
  const isPoll = (element) => element.matches("[data-poll]");

  // A part that somebody points at, works in or has chosen rows of keeps still under polls.
  const held = (part) => part.contains(document.activeElement) ||
    part.querySelector(":popover-open, [data-select]:checked") !== null ||
    (matchMedia("(hover: hover)").matches && part.querySelector("[data-row]:hover, a:hover, button:hover") !== null);

  // Polls rest while nobody looks, and tell which parts are held: those need not be sent.
  on("htmx:configRequest", (event) => {
    const { elt, parameters } = event.detail;
    if (!isPoll(elt)) return;
    if (document.hidden && elt.dataset.poll !== "always") event.preventDefault();
    parameters.held = all("[data-hold][id]").filter(held).map((part) => part.id);
  });
  on("visibilitychange", () => document.hidden || window.htmx.trigger(document.body, "live"));

  // Late answers never overwrite newer ones, unless after an outage; what a hand is on, and all under a press, stays.
  const stays = (target, version) => (offline.hidden && Number(version) < Number(target.dataset.version)) ||
    ("hold" in target.dataset && held(target));
  on("htmx:beforeSwap", ({ detail }) => {
    const [{ elt }, version] = [detail.requestConfig, /data-version="([^"]*)"/.exec(detail.serverResponse)?.[1]];
    if (isPoll(elt)) elt.toggleAttribute("data-late", document.body.matches(":active"));
    if ("late" in elt.dataset || (isPoll(elt) && stays(detail.target, version))) detail.shouldSwap = false;
  });
  const ask = (one) => delete one.dataset.late && window.htmx.ajax("GET", one.getAttribute("hx-get"), { source: one });
  on("pointerup pointercancel keyup", () => all("[data-late]").forEach(ask));
  on("htmx:oobBeforeSwap", ({ detail }) => {
    const next = detail.fragment.firstElementChild.dataset;
    if (stays(detail.target, next.version) || next.of !== detail.target.dataset.of) detail.shouldSwap = false;
  });

  // After each answer: title, icon, how much held parts have missed, how many rows are chosen.
  const settle = () => {
    const now = state();
    if (now.title) [document.title, icon.href] = [now.title, icon.dataset[now.icon ?? "calm"]];
    for (const note of all("[data-missed]")) {
      note.textContent = now.changes - note.closest("[data-hold]").dataset.version;
      note.closest("[data-changed]").hidden = !(note.textContent > 0);
    }
    all("[data-count]").forEach((place) => (place.textContent = all("[data-select]:checked").length));
  };
  on("htmx:afterSettle change", settle);
  settle();
  setInterval(() => state().say === told || say((told = state().say)), 10_000);

  // The page says when its server is away (or a proxy answers for it), and goes on by itself.
  on("htmx:afterRequest", ({ detail: { elt, xhr } }) => {
    const away = xhr.status === 0 || xhr.status > 499;
    if (!isPoll(elt) || !elt.id || offline.hidden !== away || (!away && offline.dataset.by !== elt.id)) return;
    [offline.hidden, offline.dataset.by] = [!away, elt.id];
    say(away ? offline.innerText : "The server answers again.");
  });

  // Keys: j k x walk and choose rows; all others press what carries them: in bar, row or page. A player keeps its keys.
  const typing = (place, key) => place.matches(`input:not([type=checkbox]), select, textarea${/^[a-z?]$/.test(key) ? "" : ", video"}`);
  on("keydown", (event) => {
    const { key, target } = event;
    if (typing(target, key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const [rows, row] = [all("[data-row]").filter((one) => one.checkVisibility()), target.closest("[data-row]")];
    const near = (one) => (one.closest("[data-row]") ?? row) === row && (row?.contains(one) || one.checkVisibility());
    const rank = (one) => (one.closest(".action-bar") ? 0 : row?.contains(one) ? 1 : 2);
    const keyed = all("[data-key]").filter((one) => one.dataset.key === key && near(one));
    const next = { j: rows[rows.indexOf(row) + 1], k: rows[rows.indexOf(row) - 1] }[key]?.querySelector("[data-open]");
    const press = key === "x" ? row?.querySelector("[data-select]") : keyed.sort((a, b) => rank(a) - rank(b))[0];
    if (next || press) event.preventDefault();
    if (next || (press && typing(press))) (next ?? press).focus();
    else press?.click();
  });
  // Help lists the keys of this very page.
  help?.addEventListener("beforetoggle", () => {
    const words = new Map(all("[data-key]").map((one) => [one.dataset.key, one.dataset.help ?? one.innerText]));
    const cell = ([tag, text]) => Object.assign(document.createElement(tag), { textContent: text });
    const cells = [...words].flatMap(([key, text]) => [["dt", key], ["dd", text]].map(cell));
    help.querySelector("[data-keys]").replaceChildren(...cells);
  });

  // Clicks: ranges of rows with shift, all rows at once, copies.
  on("click", ({ target, shiftKey }) => {
    const boxes = all("[data-select]");
    const range = [boxes.indexOf(last), boxes.indexOf(target)].sort((a, b) => a - b);
    const chosen = target.matches("[data-select-all]") ? boxes : shiftKey && range[0] >= 0 ? boxes.slice(...range) : [];
    chosen.forEach((box) => (box.checked = target.checked));
    if (boxes.includes(target)) last = target;
    const button = target.closest("[data-copy], [data-copy-text]");
    const source = document.querySelector(button?.dataset.copy ?? "#say");
    const text = button?.dataset.copyText ?? source.textContent;
    const refused = () => getSelection().selectAllChildren(source);
    if (button) (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => say((button.dataset.copied = "Copied.")), refused);
  });
})();
