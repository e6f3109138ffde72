/**
 * Whether a scroller that grows stays at its end. Scroll events tell it too late: when one arrives, what grew meanwhile may
 * have taken the reader back already. So the hand is listened to as well: looking back ends the following at once, and only
 * coming to the end again resumes it.
 */
export type Hand = 'back' | 'forward' | 'free';

const NEAR_PX = 80;
const BACK_KEYS = ['Home', 'PageUp', 'ArrowUp'];
const FORWARD_KEYS = ['PageDown', 'ArrowDown'];

export class EndFollower {
  #isOn: boolean;
  #hand: Hand = 'free';
  #lastTop = 0;
  readonly #onChange: (isOn: boolean) => void;

  constructor(isOn: boolean, onChange: (isOn: boolean) => void = () => undefined) {
    this.#isOn = isOn;
    this.#onChange = onChange;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Go to the end from anywhere, and stay there. */
  start(): void {
    this.#hand = 'free';
    this.#set(true);
  }

  /** `free`: the scrollbar is held, which may go either way. */
  move(hand: Hand): void {
    this.#hand = hand;
    if (hand !== 'forward') this.#set(false);
  }

  /** Growing puts the end farther away without anybody having scrolled: only moving up ends the following. */
  scrolled(top: number, isAtEnd: boolean): void {
    const isUp = top < this.#lastTop - 1;
    this.#lastTop = top;
    if (isUp && !isAtEnd) this.#hand = 'free'; // they have left: coming to the end is a new wish
    if (isAtEnd && this.#hand !== 'back') this.#set(true);
    else if (isUp) this.#set(false);
  }

  #set(to: boolean): void {
    if (this.#isOn === to) return;
    this.#isOn = to;
    this.#onChange(to);
  }
}

export const isAtEnd = (scroller: Element) =>
  scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PX;

/** Tells `follower` of the scroller and of the hands on it; `on` receives their events. */
export function listen(follower: EndFollower, scroller: Element, on: EventTarget = scroller): () => void {
  let lastY = 0;
  const listeners: [string, (event: never) => void][] = [
    ['scroll', () => follower.scrolled(scroller.scrollTop, isAtEnd(scroller))],
    [
      'wheel',
      ({ deltaY, target }: WheelEvent) => {
        if (deltaY !== 0 && !turnsAnother(target, scroller)) follower.move(deltaY < 0 ? 'back' : 'forward');
      },
    ],
    ['touchstart', ({ touches }: TouchEvent) => (lastY = touches[0]?.clientY ?? 0)],
    [
      'touchmove',
      ({ touches, target }: TouchEvent) => {
        const y = touches[0]?.clientY ?? lastY;
        if (y !== lastY && !turnsAnother(target, scroller)) follower.move(y > lastY ? 'back' : 'forward');
        lastY = y;
      },
    ],
    [
      'keydown',
      (event: KeyboardEvent) => {
        const { key, shiftKey } = event;
        if (event.defaultPrevented || isField(event.target)) return;
        if (key === 'End' && !shiftKey) {
          // The browser would glide to where the end was when the key went down.
          event.preventDefault();
          follower.start();
          scroller.scrollTop = scroller.scrollHeight;
        }
        if (BACK_KEYS.includes(key) || (key === ' ' && shiftKey)) follower.move('back');
        else if (FORWARD_KEYS.includes(key) || key === ' ') follower.move('forward');
      },
    ],
    [
      'pointerdown',
      ({ target, clientX }: PointerEvent) => {
        const left = scroller === document.scrollingElement ? 0 : scroller.getBoundingClientRect().left;
        if (target === scroller && clientX >= left + scroller.clientWidth) follower.move('free');
      },
    ],
  ];
  for (const [name, listener] of listeners) {
    on.addEventListener(name, listener as EventListener, { passive: name !== 'keydown' });
  }
  return () => listeners.forEach(([name, listener]) => on.removeEventListener(name, listener as EventListener));
}

/** What lies within the scroller and can itself go back takes the wheel and the finger. */
function turnsAnother(target: EventTarget | null, scroller: Element): boolean {
  for (let at = target; at instanceof Element && at !== scroller; at = at.parentElement) {
    if (at.scrollTop > 0) return true;
  }
  return false;
}

function isField(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, textarea, select') !== null;
}
