// Mouse, wheel, touch and keyboard, as movements of a stage.

const STEP = 60; // pixels an arrow key moves by
const KEY_ZOOM = 1.5;
const LINE = 16; // pixels of a wheel that counts lines

export function attach(canvas, stage, onreset) {
  const fingers = new Map(); // pointers that are down, by id

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    canvas.classList.add("held");
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = [event.offsetX, event.offsetY];
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, now);
    if (!other) return stage.pan(now[0] - before[0], now[1] - before[1]);
    // With two fingers each moves the middle by half of its way, and the distance tells how large.
    const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
    stage.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    stage.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      if (!fingers.size) canvas.classList.remove("held");
    });
  }

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaMode ? event.deltaY * LINE : event.deltaY;
    // A pinch on a touch pad comes as a wheel with Ctrl, in small numbers.
    const pace = event.ctrlKey ? 0.01 : 0.002;
    stage.zoom(Math.exp(-Math.max(-300, Math.min(300, pixels)) * pace), event.offsetX, event.offsetY);
  }, { passive: false });

  canvas.addEventListener("dblclick", (event) => stage.zoom(event.shiftKey ? 0.5 : 2, event.offsetX, event.offsetY));

  const keys = {
    ArrowLeft: () => stage.pan(STEP, 0),
    ArrowRight: () => stage.pan(-STEP, 0),
    ArrowUp: () => stage.pan(0, STEP),
    ArrowDown: () => stage.pan(0, -STEP),
    "+": () => stage.zoom(KEY_ZOOM),
    "=": () => stage.zoom(KEY_ZOOM),
    "-": () => stage.zoom(1 / KEY_ZOOM),
    0: onreset,
    Home: onreset,
  };
  canvas.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
}
