// A drag over the time bar zooms to what it went over; the moment that is chosen stays. A click is none: it chooses a moment,
// as without this script. For keys and without a pointer there are the links below the bar.
const bar = document.querySelector(".timebar[data-from]");
/** Shorter, it is a click. Pixels. */
const LEAST = 6;

if (bar) {
  const { from, to, edge } = Object.fromEntries(Object.entries(bar.dataset).map(([name, value]) => [name, Number(value)]));
  const box = Object.assign(document.createElement("div"), { className: "drag", hidden: true });
  bar.append(box);
  let begun = null;
  let dragged = false;
  const width = () => bar.getBoundingClientRect().width;
  const x = (event) => Math.min(Math.max(event.clientX - bar.getBoundingClientRect().left, 0), width());
  /** The moment at a place: marks at both ends have some room. */
  const moment = (at) => {
    const share = ((at / width()) * 100 - edge) / (100 - 2 * edge);
    return new Date(Math.round(from + Math.min(Math.max(share, 0), 1) * (to - from))).toISOString();
  };
  const stop = () => {
    begun = null;
    box.hidden = true;
  };

  bar.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.button === 0) begun = x(event);
  });
  // The links of the bar would be dragged away instead.
  bar.addEventListener("dragstart", (event) => event.preventDefault());
  bar.addEventListener("pointermove", (event) => {
    if (begun === null) return;
    const now = x(event);
    if (Math.abs(now - begun) >= LEAST && !dragged) {
      dragged = true;
      bar.setPointerCapture(event.pointerId);
    }
    if (!dragged) return;
    box.hidden = false;
    box.style.left = `${Math.min(begun, now)}px`;
    box.style.width = `${Math.abs(now - begun)}px`;
  });
  bar.addEventListener("pointerup", (event) => {
    if (begun === null) return;
    const [first, last] = [begun, x(event)].sort((a, b) => a - b);
    stop();
    if (!dragged || last - first < LEAST) return;
    const url = new URL(location.href);
    url.searchParams.set("since", moment(first));
    url.searchParams.set("until", moment(last));
    location.assign(url);
  });
  bar.addEventListener("pointercancel", stop);
  addEventListener("keydown", (event) => event.key === "Escape" && stop());
  // The end of a drag is no click on the moment below it.
  bar.addEventListener("click", (event) => dragged && event.preventDefault(), true);
}
