// Keys: `g` and a letter goes to a page, `/` searches, `j` and `k` walk rows, `?` shows the list; and menus that close by
// Escape or by a click beside them. Plain script, so that they work on pages of the server alone too and cost the site's
// WebAssembly nothing. Which letter leads where is written in the list itself.
import { follow, within } from "./palette.js";

let afterG = false;

const typing = (element) => Boolean(element?.closest?.("input, textarea, select, [contenteditable]"));
const visible = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.offsetParent);
const list = () => document.querySelector("dialog#keys");

function go(letter) {
  const page = [...document.querySelectorAll("#keys [data-go]")].find((page) => page.dataset.key === letter);
  // Who belongs to a tenant has the pages of the platform and their own.
  if (!page || (document.documentElement.dataset.tenant && !("own" in page.dataset))) return false;
  follow(within(page.dataset.go));
  return true;
}

/** The focus is the selection: Enter then follows the row's link by itself, where it has one. */
function walk(step) {
  const rows = visible("[data-row]");
  const now = rows.indexOf(document.activeElement);
  rows[now < 0 ? 0 : now + step]?.focus();
}

/** Closes the menus that do not hold `within`: by their own summaries, which some pages listen to. */
function shut(within) {
  const open = [...document.querySelectorAll("details.menu[open]")].filter((menu) => !menu.contains(within));
  for (const menu of open) menu.querySelector("summary").click();
  return open;
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    // A dialog is closed by the browser.
    if (!document.querySelector("dialog[open]")) shut(null).at(-1)?.querySelector("summary").focus();
    return;
  }
  if (typing(event.target) || document.querySelector("dialog[open]:not(#keys)")) return;
  if (afterG) {
    afterG = false;
    if (go(event.key)) event.preventDefault();
    return;
  }
  switch (event.key) {
    case "g":
      afterG = true;
      break;
    case "?":
      if (list()?.open) list().close();
      else list()?.showModal();
      break;
    case "/": {
      const [field] = visible("input[type=search]");
      field?.focus();
      if (field) event.preventDefault();
      break;
    }
    case "j":
      walk(1);
      break;
    case "k":
      walk(-1);
      break;
  }
});

// Of a menu that is closed by a click on its own summary the click below is the menu's own.
document.addEventListener("click", (event) => event.isTrusted && shut(event.target));
