// The page of a job follows it: an event of its stream says that something changed, then the page is asked for anew and what
// is marked as live is put in its place. Who renders is the server alone. Without this script the page reloads itself.
const PAUSE_MS = 500;
const followed = document.querySelector("[data-job]");

/** Whether somebody has written into it, or is about to. */
function inUse(part) {
  const fields = [...part.querySelectorAll("input:not([type=hidden]), textarea, select")];
  return fields.some((field) => field === document.activeElement || field.value !== (field.defaultValue ?? field.value));
}

/** Lines of a log are added behind those that are there: no scroll is stolen, and only what is new is read aloud. */
function extend(log, newer) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(...[...newer.children].slice(log.children.length));
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function put(page) {
  for (const newer of page.querySelectorAll("[data-live]")) {
    const older = document.querySelector(`[data-live="${newer.dataset.live}"]`);
    if (!older || older.innerHTML === newer.innerHTML) continue;
    if (newer.dataset.live === "log") extend(older, newer);
    // A form that somebody fills in stays, as long as it is still asked for.
    else if (!(newer.querySelector("form") && inUse(older))) older.replaceWith(document.adoptNode(newer));
  }
}

let asking = false;
let changed = false;

async function follow() {
  changed = true;
  if (asking) return;
  asking = true;
  while (changed) {
    changed = false;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      // The session is over: the page itself leads to where one signs in.
      if (answer.redirected) return location.reload();
      if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The server is away: the stream comes back when it does, and tells of the job at once.
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
  asking = false;
}

if (followed) {
  const stream = new EventSource(`/api/v1/jobs/${followed.dataset.job}/stream`);
  // The first event tells what stands here already, unless the job has ended meanwhile.
  let isFirst = true;
  stream.addEventListener("job", (event) => {
    const over = ["succeeded", "failed", "cancelled"].includes(JSON.parse(event.data).state);
    if (over) stream.close();
    if (over || !isFirst) follow();
    isFirst = false;
  });
  stream.addEventListener("error", () => {
    // A browser gives up where the answer was a refusal: the page says why.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5_000);
  });
}
