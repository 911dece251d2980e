// Which columns of a table are shown: each tick of the menu counts at once, and this browser keeps it. The style sheet
// hides by `data-hide` of the document's root.
document.addEventListener("change", (event) => {
  const menu = event.target.closest?.("details.column-menu form");
  if (!menu) return;
  const table = menu.elements.table.value;
  const others = (document.documentElement.dataset.hide ?? "").split(" ").filter((entry) => entry && !entry.startsWith(`${table}-`));
  const ticks = [...menu.querySelectorAll("input[name=shown]")];
  const hidden = [...others, ...ticks.filter((tick) => !tick.checked).map((tick) => `${table}-${tick.value}`)];
  document.documentElement.dataset.hide = hidden.join(" ");
  document.cookie = `hide=${hidden.join(".")}; Path=/; Max-Age=31536000; SameSite=Lax`;
});
