// Files dropped on a form with data-drop go into its file input, and the form is sent.
// Without this file one chooses them with the input: dropping has no counterpart in HTML or htmx.
(() => {
  const form = document.querySelector("[data-drop]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const state = form.querySelector("[role=status]");
  const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  let depth = 0;  // dragenter and dragleave also come from what lies inside
  const light = (on) => form.classList.toggle("drop-over", on);

  // Over the whole page: a file dropped beside the form must not replace the page.
  document.addEventListener("dragenter", (event) => { if (holdsFiles(event)) { depth += 1; light(true); } });
  document.addEventListener("dragleave", (event) => { if (holdsFiles(event)) { depth -= 1; light(depth > 0); } });
  document.addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    light(false);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    const n = input.files.length;
    state.textContent = `Uploading ${n} image${n === 1 ? "" : "s"}…`;
    form.querySelector("button").disabled = true;
  });
  // Back to this page from the cache of the browser: the form can be used again.
  window.addEventListener("pageshow", () => {
    state.textContent = "";
    form.querySelector("button").disabled = false;
  });
})();
