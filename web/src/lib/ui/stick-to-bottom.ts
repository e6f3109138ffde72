/**
 * Keeps the page at its end while the node grows, but only for a reader who is there. A new child of the node is what
 * the reader just asked for, so the page goes to it from anywhere.
 */
const NEAR_PX = 80;

export function stickToBottom(node: HTMLElement): () => void {
  const page = document.scrollingElement ?? document.documentElement;
  const isAtEnd = () => page.scrollHeight - page.scrollTop - innerHeight < NEAR_PX;
  const toEnd = () => page.scrollTo({ top: page.scrollHeight });
  // A page that only just fits is at its end when it opens, and nobody asked to be taken down.
  let isFollowing = page.scrollTop > 0 && isAtEnd();
  let lastTop = page.scrollTop;

  // Only moving up ends the following: a scroll event of our own may arrive when the text has already grown past it.
  const onScroll = () => {
    if (page.scrollTop < lastTop || isAtEnd()) isFollowing = isAtEnd();
    lastTop = page.scrollTop;
  };
  const growth = new ResizeObserver(() => isFollowing && toEnd());
  const children = new MutationObserver(([change]) => {
    if (!change || change.addedNodes.length === 0) return;
    isFollowing = true;
    toEnd();
  });

  addEventListener('scroll', onScroll, { passive: true });
  growth.observe(node);
  children.observe(node, { childList: true });
  return () => {
    removeEventListener('scroll', onScroll);
    growth.disconnect();
    children.disconnect();
  };
}
