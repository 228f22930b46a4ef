// Keys of a page: an element with data-key is clicked, or focused if one writes into it, when its key is pressed.
// htmx could bind keys element by element, but not leave alone what is typed into fields, nor show zoomed pictures.
(() => {
  const writes = (element) => element.matches("input:not([type=checkbox], [type=radio]), textarea, select");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    const inside = event.target instanceof Element ? event.target : document.body;
    if (writes(inside)) {
      if (event.key === "Escape") inside.blur();
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // Arrows scroll a picture that is zoomed and focused.
    if (key.startsWith("Arrow") && inside.closest("[data-pan]") && document.body.classList.contains("zoomed")) return;
    const element = document.querySelector(`[data-key="${CSS.escape(key)}"]:not(:disabled)`);
    if (!element || element.hidden) return;
    event.preventDefault();
    if (writes(element)) element.focus(); else element.click();
  });

  const showZoom = () => {
    const zoomed = document.body.classList.contains("zoomed");
    for (const button of document.querySelectorAll("[data-zoom]")) {
      button.hidden = false;
      button.setAttribute("aria-pressed", String(zoomed));
    }
    for (const mat of document.querySelectorAll("[data-pan]")) mat.tabIndex = zoomed ? 0 : -1;
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-zoom]")) return;
    document.body.classList.toggle("zoomed");
    showZoom();
  });
  document.addEventListener("htmx:afterSwap", showZoom); // before the next key can be pressed
  // What was typed is sent: the keys belong to the next panel. htmx would put the cursor back into the field.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status < 400 && document.activeElement) document.activeElement.blur();
  });

  // Zoomed pictures show the same place: what one of them is scrolled to, the others follow.
  let leader = null;
  let idle = 0;
  document.addEventListener("scroll", (event) => {
    const mat = event.target;
    if (!(mat instanceof Element) || !mat.matches("[data-pan]") || (leader && leader !== mat)) return;
    leader = mat;
    clearTimeout(idle);
    idle = setTimeout(() => { leader = null; }, 120);
    const part = (place, whole, seen) => (whole > seen ? place / (whole - seen) : 0);
    const x = part(mat.scrollLeft, mat.scrollWidth, mat.clientWidth);
    const y = part(mat.scrollTop, mat.scrollHeight, mat.clientHeight);
    for (const other of document.querySelectorAll("[data-pan]")) {
      if (other === mat) continue;
      other.scrollTo(x * (other.scrollWidth - other.clientWidth), y * (other.scrollHeight - other.clientHeight));
    }
  }, true);
})();
