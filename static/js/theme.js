// The chosen theme. htmx has no part in this: it must be set before the first paint, or a dark page flashes white.
(() => {
  const root = document.documentElement;
  const stored = () => {
    try { return localStorage.getItem("kroma-theme") || "system"; } catch { return "system"; }
  };
  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
    }
  };
  show(stored());
  document.addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll("[data-needs-js]")) box.hidden = false;
    show(stored());
  });
  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-theme-choice]")?.dataset.themeChoice;
    if (!theme) return;
    try { localStorage.setItem("kroma-theme", theme); } catch { /* private window: only for this page */ }
    show(theme);
  });
})();
