// A field with data-select is selected when it is focused; the button data-copy="id" copies the field of that id.
// Without the permission to use the clipboard, or over http, the selected text is copied the old way or by hand.
(() => {
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-select]")) event.target.select();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    const state = document.getElementById(button.getAttribute("aria-describedby"));
    field.focus();
    field.select();
    let copied = false;
    try {
      await navigator.clipboard.writeText(field.value);
      copied = true;
    } catch {
      copied = document.execCommand("copy");
    }
    state.textContent = copied ? "Copied." : "Press Ctrl+C or ⌘C: it is selected.";
  });
})();
