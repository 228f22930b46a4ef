// Before and after on one another, with a slider that says how much of each is seen. Without this file they
// stand beside each other.
(() => {
  const stack = () => {
    const box = document.querySelector("[data-compare]:not(.is-stacked)");
    if (!box) return;
    box.classList.add("is-stacked");
    const label = box.querySelector(".lab-slider");
    label.hidden = false;
    const show = (value) => box.style.setProperty("--cut", `${value}%`);
    label.querySelector("input").addEventListener("input", (event) => show(event.target.value));
    show(label.querySelector("input").value);
  };
  stack();
  document.addEventListener("htmx:afterSwap", stack);
})();
