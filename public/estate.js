// The list of clusters keeps itself up to date: the page is asked for again and its rows take the place of the old ones.
// The focus stays on its row. Nothing is asked for while nobody looks.
const EVERY_MS = 15_000;
const parts = ["main .title .muted", "table.estate-list tbody"];

async function renew() {
  if (document.hidden) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { accept: "text/html" } });
  } catch {
    // Not reached: what is shown stays, and it is tried again.
    return;
  }
  // Signed out meanwhile: a reload says so.
  if (answer.redirected) return location.reload();
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement?.closest?.("table.estate-list a")?.getAttribute("href");
  for (const part of parts) {
    const [old, fresh] = [document.querySelector(part), page.querySelector(part)];
    if (old && fresh) old.replaceWith(document.adoptNode(fresh));
  }
  if (focused) [...document.querySelectorAll("table.estate-list a")].find((link) => link.getAttribute("href") === focused)?.focus();
}

setInterval(renew, EVERY_MS);
document.addEventListener("visibilitychange", renew);
