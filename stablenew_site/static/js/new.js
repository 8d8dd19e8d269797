// Pictures of "New video" and "New edit": each is sent as it is chosen, a few at once; the form names those that came.
(() => {
  "use strict";
  const form = document.querySelector("[data-new]");
  if (!form) return;
  const AT_ONCE = 3;
  const find = (selector) => form.querySelector(selector);
  const [input, list, template] = ["[name=pictures]", ".chosen-pictures", "[data-picture-template]"].map(find);
  const [uploads, words, bar] = ["[data-uploads]", "[data-upload-words]", "[data-uploads] progress"].map(find);
  const [failed, failures, again] = ["[data-failed]", "[data-failed] ul", "[data-again]"].map(find);
  const [most, mostBytes] = [Number(form.dataset.most), Number(form.dataset.mostBytes)];
  const written = (number) => number.toLocaleString("en");
  const changed = () => window.htmx.trigger(form, "pictures");
  let [waiting, lost, sending, all, done] = [[], [], 0, 0, 0];
  // The order counts only where one edit is made of all. A class, as `:has` would look at every picture again with each.
  const together = () => form.classList.toggle("is-together", Boolean(find("[value=together]:checked")));
  form.classList.add("is-scripted");
  together();

  const fail = ({ file, row }, sentence, byNetwork = false) => {
    failures.append(Object.assign(document.createElement("li"), { textContent: sentence }));
    if (byNetwork) lost.push(file);
    failed.hidden = false;
    again.hidden = lost.length === 0;
    row.remove();
  };

  const show = (row, told) => {
    const [image, box, size] = ["img", "input", "[data-size]"].map((one) => row.querySelector(one));
    if (list.querySelector(`input[value="${told.sha256}"]`)) return row.remove();
    Object.assign(image, { src: told.thumb, hidden: false });
    Object.assign(box, { value: told.sha256, disabled: false, checked: true });
    size.textContent = `${told.width} × ${told.height}`;
  };

  const send = async (item) => {
    const { name } = item.file;
    const headers = { "X-CSRFToken": find("[name=csrfmiddlewaretoken]").value, "Content-Type": "application/octet-stream" };
    try {
      const address = `${form.dataset.upload}?name=${encodeURIComponent(name)}`;
      const answer = await fetch(address, { method: "POST", body: item.file, headers, redirect: "manual" });
      if (answer.type === "opaqueredirect") return fail(item, `${name} was not sent: sign in again in another tab.`, true);
      const told = await answer.json().catch(() => ({ error: `${name}: the server answered ${answer.status}.` }));
      if (answer.ok) show(item.row, told);
      else fail(item, told.error, answer.status > 499);
    } catch {
      fail(item, `${name} was not sent: the server does not answer.`, true);
    }
  };

  const goOn = () => {
    while (sending < AT_ONCE && waiting.length) {
      const item = waiting.shift();
      sending += 1;
      // One that was removed before its turn is not sent.
      Promise.resolve(item.row.isConnected && send(item)).then(() => {
        [sending, done] = [sending - 1, done + 1];
        // Each preview takes as long as there are pictures: at 1, 2, 4, 8 and so on all of them take twice the last one.
        if (done === all || (done & (done - 1)) === 0) changed();
        goOn();
      });
    }
    uploads.hidden = done === all;
    Object.assign(bar, { max: all || 1, value: done });
    words.textContent = all ? `${written(done)} of ${written(all)} pictures sent` : "";
    if (done === all) [all, done] = [0, 0];
  };

  const whyNot = ({ name, size }) => {
    if (list.children.length > most) return `${name} was left out: one form takes ${written(most)} pictures.`;
    return size > mostBytes ? `${name} has ${written(size)} bytes; ${form.dataset.mostWords}` : "";
  };

  // The row of a picture is there before it is sent, so that all stay in the order in which they were chosen.
  const take = (files) => {
    [failed.hidden, lost] = [true, []];
    failures.replaceChildren();
    for (const file of files) {
      const row = template.content.firstElementChild.cloneNode(true);
      const place = row.querySelector("[data-name]");
      place.textContent = place.title = file.name;
      row.querySelectorAll("[aria-label]").forEach((one) => (one.ariaLabel = `${one.ariaLabel.trim()} ${file.name}`));
      list.append(row);
      const sentence = whyNot(file);
      if (sentence) fail({ file, row }, sentence);
      else all = waiting.push({ file, row }) && all + 1;
    }
    goOn();
  };
  input.addEventListener("change", () => {
    const files = [...input.files];
    // They are not sent with the form once more.
    input.value = "";
    take(files);
  });
  again.addEventListener("click", () => take(lost));

  form.addEventListener("click", (event) => {
    // Its box is not seen: a click on the name must not leave the picture out.
    if (event.target.closest(".chosen .check")) event.preventDefault();
    const button = event.target.closest("[data-remove], [data-move]");
    if (!button) return;
    const row = button.closest("[data-picture]");
    const [before, after] = [row.previousElementSibling, row.nextElementSibling];
    if (button.dataset.move === "-1") before?.before(row);
    if (button.dataset.move === "1") after?.after(row);
    if (!button.dataset.move) row.remove();
    (button.isConnected ? button : (after ?? before)?.querySelector("[data-remove]") ?? input).focus();
    changed();
  });
  form.addEventListener("input", ({ target }) => {
    together();
    const counter = find(`[data-counts="${target.id}"]`);
    if (counter) counter.textContent = `${[...target.value.trim()].length} of ${target.dataset.most}`;
  });
})();
