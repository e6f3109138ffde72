/** Keeps the page at its end while it grows, but only for a reader who is there already. */
const NEAR_PX = 80;

export function stickToBottom(node: HTMLElement): () => void {
  const page = document.scrollingElement ?? document.documentElement;
  const isAtEnd = () => page.scrollHeight - page.scrollTop - innerHeight < NEAR_PX;
  let isFollowing = isAtEnd();

  // A reader who scrolls decides; growth alone fires no scroll event.
  const onScroll = () => (isFollowing = isAtEnd());
  const observer = new ResizeObserver(() => {
    if (isFollowing) page.scrollTo({ top: page.scrollHeight });
  });
  addEventListener('scroll', onScroll, { passive: true });
  observer.observe(node);
  return () => {
    removeEventListener('scroll', onScroll);
    observer.disconnect();
  };
}
