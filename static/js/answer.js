// The answer's text field: a file dropped on it becomes its text, and a problem's button leads to its line.
(() => {
  const form = document.querySelector("[data-answer]");
  if (!form) return;
  const text = form.querySelector("textarea");
  const file = form.querySelector("input[type=file]");
  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

  const take = async (found) => {
    if (!found || found.size > 2 * 1024 * 1024) return; // the server says why a larger one is refused
    text.value = await found.text();
    file.value = "";
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.focus();
  };
  file.addEventListener("change", () => take(file.files[0]));
  // Over the whole page: a file dropped beside the field must not replace the page.
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    form.classList.add("drop-over");
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) form.classList.remove("drop-over"); });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    form.classList.remove("drop-over");
    take(event.dataTransfer.files[0]);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-line]");
    if (!button) return;
    const lines = text.value.split("\n");
    const line = Math.min(Number(button.dataset.line), lines.length);
    const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + lines[line - 1].length);
    const height = parseFloat(getComputedStyle(text).lineHeight) || 20;
    text.scrollTop = Math.max(0, (line - 4) * height);
  });
})();
