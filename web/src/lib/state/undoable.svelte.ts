/**
 * Removals that can be taken back: a thing is gone from the page at once, and from the server when the moment for undoing
 * has passed. Leaving the page means it: what waits is then done at once.
 */
interface Removal {
  commit: () => Promise<void>;
  isUnderWay: boolean;
}

export class Undoable {
  #removals = $state.raw<ReadonlyMap<string, Removal>>(new Map());

  isGone(id: string): boolean {
    return this.#removals.has(id);
  }

  /** Hides `id`; `commit` is what really removes it, and handles its own failure. */
  remove(id: string, commit: () => Promise<void>): void {
    this.#removals = new Map(this.#removals).set(id, { commit, isUnderWay: false });
  }

  /** Too late once the server was asked. */
  undo(id: string): void {
    if (this.#removals.get(id)?.isUnderWay === false) this.#forget(id);
  }

  /** The moment has passed. Stays hidden until `commit` is done, so that nothing comes back for a blink. */
  async commit(id: string): Promise<void> {
    const removal = this.#removals.get(id);
    if (!removal || removal.isUnderWay) return;
    removal.isUnderWay = true;
    try {
      await removal.commit();
    } finally {
      this.#forget(id);
    }
  }

  async commitAll(): Promise<void> {
    await Promise.all([...this.#removals.keys()].map((id) => this.commit(id)));
  }

  #forget(id: string): void {
    const rest = new Map(this.#removals);
    rest.delete(id);
    this.#removals = rest;
  }
}
