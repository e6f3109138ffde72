/** Keyboard shortcuts of the whole app: which exist, and whether a key press belongs to them. */
export interface Shortcut {
  keys: string[];
  does: string;
}

const isApple = /mac|iphone|ipad/i.test(navigator.userAgent);
export const commandKey = isApple ? '⌘' : 'Ctrl';

export const shortcuts: { group: string; items: Shortcut[] }[] = [
  {
    group: 'Anywhere',
    items: [
      { keys: [commandKey, 'K'], does: 'Go to a page or feature, load, attach' },
      { keys: ['?'], does: 'These shortcuts' },
      { keys: ['Esc'], does: 'Close what is open; stop answers that stream' },
    ],
  },
  {
    group: 'Sliders',
    items: [
      { keys: ['←', '→'], does: 'One step' },
      { keys: ['Shift', '←', '→'], does: 'Ten steps' },
      { keys: ['0'], does: 'Back to zero' },
      { keys: ['Home', 'End'], does: 'To the ends' },
    ],
  },
  {
    group: 'Messages',
    items: [
      { keys: ['Enter'], does: 'Send' },
      { keys: ['Shift', 'Enter'], does: 'A new line' },
    ],
  },
];

/** Typing into a field is never a shortcut. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
