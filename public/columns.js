// Which columns of a table are shown: each tick of the menu counts at once, and this browser keeps it. The style sheet
// hides by `data-hide` of the document's root: it names the columns that stand otherwise than they come. Those from `extra` on
// come hidden.
const hidden = () => (document.documentElement.dataset.hide ?? "").split(" ").filter(Boolean);
const table = (menu) => menu.querySelector("form").elements.table.value;
const comesHidden = (tick) => Number(tick.value) >= Number(tick.form.elements.extra.value);
// New figures may write the menu anew: one that was open stays open, with its ticks and the focus where it was.
let open = null;
let focused = null;

function ticks(menu) {
  for (const tick of menu.querySelectorAll("input[name=shown]")) tick.checked = hidden().includes(`${table(menu)}-${tick.value}`) === comesHidden(tick);
}

document.addEventListener(
  "toggle",
  (event) => {
    const menu = event.target;
    if (!menu.matches?.("details.column-menu")) return;
    if (menu.open) {
      ticks(menu);
      open = table(menu);
    } else if (menu.isConnected && open === table(menu)) open = focused = null;
  },
  true,
);
document.addEventListener("focusin", (event) => {
  if (event.target.matches?.("details.column-menu input")) focused = event.target.value;
});
new MutationObserver(() => {
  if (!open) return;
  for (const menu of document.querySelectorAll("details.column-menu")) {
    if (table(menu) !== open) continue;
    menu.open = true;
    ticks(menu);
    if (focused && document.activeElement === document.body) menu.querySelector(`input[name=shown][value="${focused}"]`)?.focus();
  }
}).observe(document.documentElement, { childList: true, subtree: true });
document.addEventListener("change", (event) => {
  const menu = event.target.closest?.("details.column-menu form");
  if (!menu) return;
  const name = menu.elements.table.value;
  const others = hidden().filter((entry) => !entry.startsWith(`${name}-`));
  const boxes = [...menu.querySelectorAll("input[name=shown]")];
  const entries = [...others, ...boxes.filter((tick) => tick.checked === comesHidden(tick)).map((tick) => `${name}-${tick.value}`)];
  document.documentElement.dataset.hide = entries.join(" ");
  document.cookie = `hide=${entries.join(".")}; Path=/; Max-Age=31536000; SameSite=Lax`;
});
