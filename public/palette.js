// Ctrl-K: pages, servers, statements and plugins by a few letters of their names. Plain script, so that it works on
// pages of the server alone too and costs the site's WebAssembly nothing. What is offered are links of the page itself;
// statements and plugins are asked for as the reader, by the API.
const FURTHER = [
  ["Index suggestions", "/database/advice", "Performance"],
  ["Health score: lines and weights", "/database/score", "Overview"],
  ["Restore to a moment", "/recovery/restore", "Recovery"],
  ["Disaster recovery plans and drills", "/recovery/plans", "Recovery"],
  ["All jobs", "/jobs", "Recovery"],
  ["Retention: what would be deleted", "/backups/retention", "Backups"],
  ["Alert rules", "/alerts?tab=rules", "Alerts"],
  ["Alert channels", "/alerts?tab=channels", "Alerts"],
  ["Blackouts", "/alerts?tab=blackouts", "Alerts"],
  ["Account and API tokens", "/account", "Account"],
  ["Getting started: what a server needs", "/start", "Account"],
  ["Audit log", "/audit", "Account"],
  ["API reference", "/api/docs", "API"],
];
const SHOWN = 24;
const root = document.documentElement;
let dialog, field, list, told;
let found = [];
let chosen = 0;
let asked = 0;

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** The text of a link without badges and words for screen readers. */
function label(link) {
  return [...link.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("").trim();
}

/** The address of a page for the server, database and range that are looked at. */
export function within(path) {
  const here = new URLSearchParams(location.search);
  const url = new URL(path, location.origin);
  // The platform's pages have ranges of their own.
  const range = /^\/(plugins|analytics)/.test(path) ? [] : ["range", "from", "to", "compare"];
  for (const name of ["cluster", "database", ...range]) if (here.get(name)) url.searchParams.set(name, here.get(name));
  return url.pathname + url.search + url.hash;
}

function cluster() {
  const link = document.querySelector("header.top .menu a[aria-current]") ?? document.querySelector("header.top .menu a[href*='cluster=']");
  return link ? new URL(link.href).searchParams.get("cluster") : null;
}

function places() {
  const out = [];
  for (const link of document.querySelectorAll("nav#nav a.page")) {
    if (getComputedStyle(link).display === "none") continue;
    out.push({ text: label(link), kind: "page", href: link.getAttribute("href") });
  }
  if (!root.dataset.tenant) {
    for (const [text, path, kind] of FURTHER) {
      // Who may read it has it in the menu of the account.
      if (path === "/audit" && !document.querySelector("a[href='/audit']")) continue;
      out.push({ text, kind: kind.toLowerCase(), href: within(path) });
    }
    for (const link of document.querySelectorAll("header.top .menu:not(.right) li a")) {
      const name = link.querySelector("span")?.textContent.trim();
      if (name) out.push({ text: name, kind: "server", href: link.getAttribute("href") });
    }
  }
  for (const link of document.querySelectorAll("nav.range:not([hidden]) a")) {
    out.push({ text: `Range: ${link.title}`, kind: "action", href: link.getAttribute("href") });
  }
  for (const link of document.querySelectorAll("details.compare:not([hidden]) li a")) {
    out.push({ text: `Compare with: ${link.textContent.trim()}`, kind: "action", href: link.getAttribute("href") });
  }
  const live = document.querySelector("button.live");
  if (live) out.push({ text: live.getAttribute("aria-pressed") === "true" ? "Go on with live figures" : "Pause live figures", kind: "action", run: () => live.click() });
  out.push({ text: "Copy the address of this page", kind: "action", run: () => navigator.clipboard?.writeText(location.href) });
  out.push({ text: "List of keys", kind: "action", run: () => document.querySelector("dialog#keys")?.showModal() });
  for (const button of document.querySelectorAll("form.theme button")) {
    out.push({ text: `Theme: ${button.title.toLowerCase()}`, kind: "action", run: () => button.click() });
  }
  const out_button = document.querySelector("form[action='/logout'] button");
  if (out_button) out.push({ text: "Sign out", kind: "action", run: () => out_button.click() });
  return out;
}

/** Lists that can be searched for the words, where nobody belongs to a tenant. */
function lists(words) {
  if (root.dataset.tenant || words.length < 2) return [];
  const search = (text, path, name) => {
    const url = new URL(within(path), location.origin);
    url.searchParams.set(name, words);
    return { text: `${text} “${words}”`, kind: "search", href: url.pathname + url.search + url.hash };
  };
  return [search("Tables named", "/database/tables", "q"), search("Indexes named", "/database/performance#indexes", "index")];
}

/** How well the letters fit: start of the text, start of a word, inside, in order from the start of a word; none is -1. */
function fit(text, letters) {
  const whole = text.toLowerCase();
  if (whole.startsWith(letters)) return 4;
  const at = whole.indexOf(letters);
  if (at > 0) return /\W/.test(whole[at - 1]) ? 3 : 2;
  let from = whole.search(new RegExp(`\\b${letters[0].replace(/\W/, "\\$&")}`)) + 1;
  if (!from) return -1;
  for (const letter of letters.slice(1)) {
    from = whole.indexOf(letter, from) + 1;
    if (!from) return -1;
  }
  return 1;
}

async function json(address) {
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  return answer.ok ? answer.json() : null;
}

/** Statements and plugins whose text holds the words. */
async function remote(words) {
  const id = cluster();
  const asks = [];
  if (id && !root.dataset.tenant) {
    const address = `/api/v1/clusters/${encodeURIComponent(id)}/queries?limit=8&q=${encodeURIComponent(words)}`;
    asks.push(json(address).then((page) => (page?.rows ?? []).map((row) => ({
      text: row.query.replace(/\s+/g, " ").slice(0, 160), kind: "statement", code: true, href: within(`/database/queries/${encodeURIComponent(row.id)}`),
    }))));
  }
  // Plugins are a tenant's: the reader's own, or the one of the page.
  const tenant = new URLSearchParams(location.search).get("tenant");
  if (root.dataset.tenant || tenant) {
    const whose = tenant ? `tenant=${encodeURIComponent(tenant)}` : "";
    asks.push(json(`/api/v1/plugins?limit=5&q=${encodeURIComponent(words)}&${whose}`).then((page) => (page?.plugins ?? []).map((plugin) => ({
      text: plugin.display_name || plugin.name, kind: "plugin", href: `/plugins/${encodeURIComponent(plugin.id)}${whose && `?${whose}`}`,
    }))));
  }
  const answers = await Promise.allSettled(asks);
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
}

function choose(at) {
  chosen = Math.max(0, Math.min(at, found.length - 1));
  for (const [i, option] of [...list.children].entries()) {
    option.setAttribute("aria-selected", String(i === chosen));
    if (i === chosen) option.scrollIntoView({ block: "nearest" });
  }
  field.setAttribute("aria-activedescendant", found.length ? `palette-${chosen}` : "");
}

function show(entries) {
  found = entries.slice(0, SHOWN);
  list.replaceChildren(
    ...found.map((entry, i) => {
      const text = make(entry.code ? "code" : "span", { textContent: entry.text });
      const kind = make("small", { textContent: entry.kind });
      const option = make("li", { id: `palette-${i}`, role: "option" }, text, kind);
      option.addEventListener("click", () => take(i));
      option.addEventListener("pointermove", () => i !== chosen && choose(i));
      return option;
    }),
  );
  told.textContent = found.some((entry) => entry.kind !== "search") ? "" : "Nothing here has these letters in its name.";
  choose(0);
}

function take(at) {
  const entry = found[at];
  if (!entry) return;
  dialog.close();
  if (entry.run) entry.run();
  else follow(entry.href);
}

/** A link that is clicked goes the way of all links: within the page where it can. */
export function follow(href) {
  const link = make("a", { href, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

function search() {
  const words = field.value.trim();
  const letters = words.toLowerCase();
  const turn = ++asked;
  const near = places()
    .map((entry) => ({ entry, rank: letters ? fit(entry.text, letters) : 0 }))
    .filter((it) => it.rank >= 0)
    .sort((a, b) => b.rank - a.rank)
    .map((it) => it.entry);
  show([...near, ...lists(words)]);
  if (letters.length < 2) return;
  setTimeout(async () => {
    if (turn !== asked) return;
    const more = await remote(words);
    if (turn !== asked || !more.length) return;
    const kept = chosen;
    show([...near, ...more, ...lists(words)]);
    choose(kept);
  }, 150);
}

function build() {
  field = make("input", { type: "text", role: "combobox", placeholder: "Page, server, statement or plugin", autocomplete: "off", spellcheck: false });
  for (const [name, value] of [["aria-label", "Go to"], ["aria-expanded", "true"], ["aria-controls", "palette-list"], ["aria-autocomplete", "list"]]) field.setAttribute(name, value);
  list = make("ul", { id: "palette-list", role: "listbox" });
  list.setAttribute("aria-label", "Places");
  told = make("p", { className: "muted", role: "status" });
  dialog = make("dialog", { className: "palette" }, field, list, told);
  dialog.setAttribute("aria-label", "Go to");
  document.body.append(dialog);
  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) choose(chosen + step);
    else if (event.key === "Enter") take(chosen);
    else return;
    event.preventDefault();
  });
  // A click beside it closes it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

function open() {
  // The sign-in has nothing to go to.
  if (!document.querySelector("nav#nav")) return;
  if (!dialog?.isConnected) build();
  if (dialog.open) return dialog.close();
  field.value = "";
  dialog.showModal();
  search();
  field.focus();
}

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    open();
  }
});
document.addEventListener("click", (event) => event.target.closest?.("[data-palette]") && open());
