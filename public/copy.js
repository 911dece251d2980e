// Buttons that copy their text and say so. Plain script, so that they work on pages of the server alone too.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button.copy");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.text);
  } catch {
    // Without HTTPS a browser gives no clipboard: the text is marked, for the keys.
    const shown = button.parentElement.querySelector("pre, .sql");
    if (shown) getSelection().selectAllChildren(shown);
    return;
  }
  const told = button.querySelector(".copied");
  button.dataset.done = "";
  told.textContent = "Copied";
  setTimeout(() => {
    delete button.dataset.done;
    told.textContent = "";
  }, 2_000);
});
