// A range of two moments: the form of the top bar in the reader's time zone, and the address that says it.
const PAD = 16;
const form = () => document.querySelector("form.custom-range");

/** Whether the page's figures follow the range. */
export const follows = () => Boolean(document.querySelector("nav.range:not([hidden])"));

/** As a field of a form has it, in the reader's zone. */
function written(at) {
  return new Date(at + window.holdfastOffset(at) * 60_000).toISOString().slice(0, PAD);
}

/** The moment of a field: the offset is that of the moment itself, not of its name. */
function moment(text) {
  const named = Date.parse(`${text}Z`);
  const guess = named - window.holdfastOffset(named) * 60_000;
  return named - window.holdfastOffset(guess) * 60_000;
}

/** `2026-11-24T02:00:00Z` */
const stamp = (at) => new Date(Math.round(at / 1_000) * 1_000).toISOString().replace(".000Z", "Z");

/** Goes to an address as a link does: within the page. */
function go(href) {
  const link = Object.assign(document.createElement("a"), { href, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/** This page from one moment to another. */
export function show(from, to) {
  const url = new URL(location.href);
  url.searchParams.set("from", stamp(from));
  url.searchParams.set("to", stamp(to));
  url.searchParams.delete("cursor");
  go(url.pathname + url.search + url.hash);
}

const LENGTHS = { "15m": 15, "1h": 60, "6h": 360, "24h": 1_440, "7d": 10_080, "30d": 43_200 };

document.addEventListener(
  "toggle",
  (event) => {
    if (!event.target.matches?.("details.custom") || !event.target.open) return;
    const asked = new URLSearchParams(location.search);
    const to = Date.parse(asked.get("to")) || Date.now();
    const from = Date.parse(asked.get("from")) || to - (LENGTHS[asked.get("range")] ?? 60) * 60_000;
    form().elements.from.value = written(from);
    form().elements.to.value = written(to);
    form().elements.to.setCustomValidity("");
  },
  true,
);
document.addEventListener("input", (event) => event.target.form === form() && form()?.elements.to.setCustomValidity(""));
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.custom-range")) return;
  event.preventDefault();
  const { from, to } = event.target.elements;
  const [first, last] = [moment(from.value), moment(to.value)];
  if (last - first < 60_000) to.setCustomValidity("Choose an end at least a minute after the beginning.");
  else if (last > Date.now() + 60_000) to.setCustomValidity("It is still to come: choose an end that is not later than now.");
  else {
    event.target.closest("details").open = false;
    return show(first, last);
  }
  to.reportValidity();
});
// One menu of the top bar at a time, and none once something else is clicked.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.custom[open], details.zone[open], details.column-menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = "details.custom[open], details.zone[open], details.column-menu[open]";
  // Where the focus is nowhere, as after figures wrote the menu anew, the open one is meant.
  const lost = !document.activeElement || document.activeElement === document.body;
  const menu = lost ? document.querySelector(open) : document.activeElement.closest(open);
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
