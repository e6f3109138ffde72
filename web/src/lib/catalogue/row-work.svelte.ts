/** What is done to one row of a list: which row is busy, what came of it, and `refresh` afterwards. */
import { asApiError, explain } from '#lib/api/errors.ts';
import { say, sayFailure } from '#lib/ui/toast.ts';

export function rowWork(refresh: () => Promise<unknown>) {
  let busyId = $state<string | null>(null);

  return {
    get busyId() {
      return busyId;
    },
    /** Says `done` when `work` succeeded, and why when it did not. */
    async attempt(id: string, work: () => Promise<unknown>, done?: string): Promise<void> {
      busyId = id;
      try {
        await work();
        if (done) say(done);
      } catch (thrown) {
        sayFailure(explain(asApiError(thrown)));
      }
      busyId = null;
      await refresh();
    },
  };
}
