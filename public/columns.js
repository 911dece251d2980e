// Which columns of a table are shown: each tick of the menu counts at once, and this browser keeps it. The style sheet
// hides by `data-hide` of the document's root.
const hidden = () => (document.documentElement.dataset.hide ?? "").split(" ").filter(Boolean);

document.addEventListener(
  "toggle",
  (event) => {
    if (!event.target.matches?.("details.column-menu") || !event.target.open) return;
    const { table } = event.target.querySelector("form").elements;
    for (const tick of event.target.querySelectorAll("input[name=shown]")) tick.checked = !hidden().includes(`${table.value}-${tick.value}`);
  },
  true,
);
document.addEventListener("change", (event) => {
  const menu = event.target.closest?.("details.column-menu form");
  if (!menu) return;
  const table = menu.elements.table.value;
  const others = hidden().filter((entry) => !entry.startsWith(`${table}-`));
  const ticks = [...menu.querySelectorAll("input[name=shown]")];
  const entries = [...others, ...ticks.filter((tick) => !tick.checked).map((tick) => `${table}-${tick.value}`)];
  document.documentElement.dataset.hide = entries.join(" ");
  document.cookie = `hide=${entries.join(".")}; Path=/; Max-Age=31536000; SameSite=Lax`;
});
