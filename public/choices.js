// What this browser chose: its theme, and the time zone in which pages and charts write moments (`holdfastOffset` says how
// far it is ahead of UTC). Not a module: those run after the first paint.
(() => {
  const root = document.documentElement;
  const own = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const keep = (name, value) => (document.cookie = `${name}=${value}; Path=/; Max-Age=31536000; SameSite=Lax`);
  const fields = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
  let format = null;
  try {
    const zone = root.dataset.zone ?? "UTC";
    if (zone !== "UTC") format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", ...fields });
  } catch {
    // The server knows a zone that this browser does not.
  }
  const QUARTER = 900_000;
  const known = new Map();

  /** Minutes that the reader's zone is ahead of UTC at a moment; it changes at a quarter of an hour at the earliest. */
  window.holdfastOffset = (at) => {
    if (!format) return 0;
    const begin = Math.floor(at / QUARTER) * QUARTER;
    if (!known.has(begin)) {
      const part = Object.fromEntries(format.formatToParts(begin).map(({ type, value }) => [type, Number(value)]));
      const there = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
      known.set(begin, Math.floor((there - begin) / 60_000));
    }
    return known.get(begin);
  };

  /**
   * The program of the page stopped by a fault of ours. Its listeners would still take each click and do nothing: links are
   * followed by the browser itself from now on, and the reader is told.
   */
  window.holdfastStopped = () => {
    if ("stopped" in root.dataset) return;
    root.dataset.stopped = "";
    addEventListener("click", (event) => event.target.closest?.("a[href]") && event.stopImmediatePropagation(), true);
    const told = document.createElement("p");
    told.className = "banner critical c12";
    told.role = "alert";
    const again = Object.assign(document.createElement("a"), { href: "", className: "btn", textContent: "Load it again" });
    told.append("This page stopped by a fault of ours: its figures do not come anew, links go on. ", again);
    document.querySelector("main#content, body")?.prepend(told);
  };

  // The navigation as icons: before the first paint, so that nothing jumps.
  if (/(?:^|; )nav=icons(?:;|$)/.test(document.cookie)) root.dataset.nav = "icons";
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("button.nav-narrow")) return;
    if (root.dataset.nav) delete root.dataset.nav;
    else root.dataset.nav = "icons";
    keep("nav", root.dataset.nav ?? "names");
  });

  // Whoever travels takes the browser's zone along: the next page has it.
  if (root.dataset.zoneChoice === "browser" && root.dataset.zone !== own()) keep("zone", `browser.${own()}`);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("details.zone button[name=zone], form.theme button[name=theme]");
    if (!button) return;
    event.preventDefault();
    if (button.name === "theme") {
      // The page need not be loaded again.
      if (button.value === "system") delete root.dataset.theme;
      else root.dataset.theme = button.value;
      return keep("theme", button.value);
    }
    keep("zone", button.value === "browser" ? `browser.${own()}` : button.value);
    location.reload();
  });
})();
