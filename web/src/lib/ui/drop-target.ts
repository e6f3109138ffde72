/** Files dropped anywhere on the node. `onHover` tells when a drag with files is over it. */
import type { Attachment } from 'svelte/attachments';

export function dropTarget(
  onFiles: (files: File[]) => void,
  onHover: (isOver: boolean) => void,
): Attachment<HTMLElement> {
  return (node) => {
    // A drag enters children before it leaves their parents, so depth is counted.
    let depth = 0;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const set = (to: number) => {
      depth = Math.max(0, to);
      onHover(depth > 0);
    };
    const listeners: [keyof HTMLElementEventMap, (event: DragEvent) => void][] = [
      ['dragenter', (event) => hasFiles(event) && set(depth + 1)],
      ['dragleave', (event) => hasFiles(event) && set(depth - 1)],
      ['dragover', (event) => hasFiles(event) && event.preventDefault()],
      [
        'drop',
        (event) => {
          if (!hasFiles(event)) return;
          event.preventDefault();
          set(0);
          onFiles([...(event.dataTransfer?.files ?? [])]);
        },
      ],
    ];
    listeners.forEach(([name, listener]) => node.addEventListener(name, listener as EventListener));
    return () => listeners.forEach(([name, listener]) => node.removeEventListener(name, listener as EventListener));
  };
}
