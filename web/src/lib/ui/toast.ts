/** Short messages at the edge of the window, announced to screen readers. Failures that belong to a place are shown there. */
import { toast } from 'svelte-sonner';

const UNDO_MS = 6_000;

export function say(text: string): void {
  toast.success(text);
}

/** A failure of something the person just did. */
export function sayFailure({ sentence, nextStep }: { sentence: string; nextStep: string }): void {
  toast.error(sentence, { ...(nextStep && { description: nextStep }), duration: 8_000 });
}

export interface UndoableMessage {
  text: string;
  onUndo: () => void;
  /** The moment for undoing has passed, or was waved away. */
  onOver: () => void;
}

/** Says what was done and offers to undo it for a while. */
export function sayUndoable({ text, onUndo, onOver }: UndoableMessage): void {
  let isUndone = false;
  const over = () => {
    if (!isUndone) onOver();
  };
  toast(text, {
    duration: UNDO_MS,
    action: {
      label: 'Undo',
      onClick: () => {
        isUndone = true;
        onUndo();
      },
    },
    onAutoClose: over,
    onDismiss: over,
  });
}
