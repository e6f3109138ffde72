/**
 * Keeps the page at its end while the node grows, but only for a reader who is there. A new child of the node is what
 * the reader just asked for, so the page goes to it from anywhere.
 */
import { EndFollower, isAtEnd, listen } from './end-follower.ts';

export function stickToBottom(node: HTMLElement): () => void {
  const page = document.scrollingElement ?? document.documentElement;
  const toEnd = () => page.scrollTo({ top: page.scrollHeight });
  // A page that only just fits is at its end when it opens, and nobody asked to be taken down.
  const follower = new EndFollower(page.scrollTop > 0 && isAtEnd(page));
  const growth = new ResizeObserver(() => follower.isOn && toEnd());
  const children = new MutationObserver(([change]) => {
    if (!change || change.addedNodes.length === 0) return;
    follower.start();
    toEnd();
  });

  const unlisten = listen(follower, page, window);
  growth.observe(node);
  children.observe(node, { childList: true });
  return () => {
    unlisten();
    growth.disconnect();
    children.disconnect();
  };
}
