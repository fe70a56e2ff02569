// Two panes that move together: the same microns a screen pixel, the same step in microns.

/** Binds two panes; the one that the person moved last leads. */
export class Linked {
  #leader;
  #offset = { x: 0, y: 0 };
  #on = true;
  #handlers = [];

  constructor(first, second) {
    this.first = first;
    this.second = second;
    this.#leader = first;
    for (const pane of [first, second]) {
      this.#handle(pane, "led", () => (this.#leader = pane));
      this.#handle(pane, "view", () => this.#follow(pane));
    }
    this.hold();
  }

  /** True if both slides say their mpp, so that "the same scale" has a meaning. */
  get scaled() {
    return this.first.mpp !== null && this.second.mpp !== null;
  }

  get on() {
    return this.#on;
  }

  set on(wanted) {
    this.#on = wanted;
    if (wanted) {
      this.#match();
      this.hold();
    }
  }

  /** Keep the present distance between the two centres from here on. */
  hold() {
    const [a, b] = [this.#place(this.first), this.#place(this.second)];
    this.#offset = { x: b.x - a.x, y: b.y - a.y };
  }

  /** Put the leader of a programmed move: the pane that `show` is called on. */
  lead(pane) {
    this.#leader = pane;
  }

  close() {
    for (const [pane, name, handler] of this.#handlers) pane.removeEventListener(name, handler);
  }

  #handle(pane, name, handler) {
    pane.addEventListener(name, handler);
    this.#handlers.push([pane, name, handler]);
  }

  /** Microns a level-0 px; where a slide does not say, pixels stand for microns in both. */
  #unit(pane) {
    return this.scaled ? pane.mpp : 1;
  }

  #place(pane) {
    const { x, y } = pane.view;
    return { x: x * this.#unit(pane), y: y * this.#unit(pane) };
  }

  #zoomFor(pane, leader) {
    return (leader.view.zoom / this.#unit(leader)) * this.#unit(pane);
  }

  #match() {
    const other = this.#leader === this.first ? this.second : this.first;
    const { x, y } = other.view;
    other.show({ x, y, zoom: this.#zoomFor(other, this.#leader) }, { at_once: true });
  }

  #follow(pane) {
    if (!this.#on || pane !== this.#leader) return;
    const other = pane === this.first ? this.second : this.first;
    if (!other.osd.isOpen()) return;
    const sign = pane === this.first ? 1 : -1;
    const place = this.#place(pane);
    const unit = this.#unit(other);
    other.show(
      {
        x: (place.x + sign * this.#offset.x) / unit,
        y: (place.y + sign * this.#offset.y) / unit,
        zoom: this.#zoomFor(other, pane),
      },
      { at_once: true },
    );
  }
}
