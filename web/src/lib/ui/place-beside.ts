/** Places a fixed box under its anchor, above it where there is no room, always inside the window. */
import type { Attachment } from 'svelte/attachments';

const GAP_PX = 8;
const EDGE_PX = 12;

export function placeBeside(anchor: HTMLElement): Attachment<HTMLElement> {
  return (box) => {
    const place = () => {
      const at = anchor.getClientRects()[0] ?? anchor.getBoundingClientRect();
      const { width, height } = box.getBoundingClientRect();
      const isBelow = at.bottom + GAP_PX + height <= innerHeight - EDGE_PX;
      const left = Math.min(Math.max(at.left + at.width / 2 - width / 2, EDGE_PX), innerWidth - width - EDGE_PX);
      box.style.left = `${left}px`;
      box.style.top = `${isBelow ? at.bottom + GAP_PX : Math.max(EDGE_PX, at.top - GAP_PX - height)}px`;
    };
    place();
    const observer = new ResizeObserver(place);
    observer.observe(box);
    addEventListener('scroll', place, { passive: true });
    return () => {
      observer.disconnect();
      removeEventListener('scroll', place);
    };
  };
}
