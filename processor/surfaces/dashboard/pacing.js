// Drawing at a pace of our own, however fast messages come.

/**
 * Calls `draw` in an animation frame after `request()`, at most once every `intervalMs`. Requests in between are one.
 * A hidden page draws nothing and catches up when it is seen again.
 */
export class Pace {
  #draw;
  #intervalMs;
  #drawnAt = -Infinity;
  #pending = false;

  constructor(draw, intervalMs = 250) {
    this.#draw = draw;
    this.#intervalMs = intervalMs;
  }

  request() {
    if (this.#pending) return;
    this.#pending = true;
    const wait = Math.max(0, this.#drawnAt + this.#intervalMs - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.#paint()), wait);
  }

  #paint() {
    this.#pending = false;
    this.#drawnAt = performance.now();
    this.#draw();
  }
}
