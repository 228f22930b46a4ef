// A box that is drawn on the chosen image goes into a text field as four percentages; what is written there is
// drawn, too. The image is shown without being sent.
(() => {
  const frame = document.querySelector("[data-draw]");
  if (!frame) return;
  const field = document.getElementById(frame.dataset.draw);
  const file = document.getElementById(frame.dataset.image);
  const image = frame.querySelector("img");
  const box = frame.querySelector(".lab-box");
  let start = null;

  file.addEventListener("change", () => {
    const [found] = file.files;
    field.value = "";
    show();
    frame.hidden = !found;
    if (!found) return;
    const reader = new FileReader(); // a data: address, which the page's policy allows for images
    reader.addEventListener("load", () => { image.src = reader.result; });
    reader.readAsDataURL(found);
  });
  const show = () => {
    const sides = field.value.replaceAll(",", " ").trim().split(/\s+/).map(Number);
    box.hidden = sides.length !== 4 || sides.some(Number.isNaN);
    if (box.hidden) return;
    const [left, top, right, bottom] = sides;
    box.style.left = `${left}%`;
    box.style.top = `${top}%`;
    box.style.width = `${Math.max(0, right - left)}%`;
    box.style.height = `${Math.max(0, bottom - top)}%`;
  };
  const place = (event) => {
    const { left, top, width, height } = frame.getBoundingClientRect();
    const part = (at, whole) => Math.round(Math.min(100, Math.max(0, (100 * at) / whole)));
    return [part(event.clientX - left, width), part(event.clientY - top, height)];
  };
  frame.addEventListener("pointerdown", (event) => {
    start = place(event);
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = place(event);
    const low = start.map((one, n) => Math.min(one, end[n]));
    const high = start.map((one, n) => Math.max(one, end[n]));
    field.value = [...low, ...high].join(" ");
    show();
  });
  const stop = () => {
    if (!start) return;
    start = null;
    const [left, top, right, bottom] = field.value.split(" ").map(Number);
    if (!(right > left && bottom > top)) field.value = ""; // a click, no box
    show();
  };
  frame.addEventListener("pointerup", stop);
  frame.addEventListener("pointercancel", stop);
  field.addEventListener("input", show);
})();
