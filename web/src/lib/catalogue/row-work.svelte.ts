/** What is done to one row of a list: which row is busy, what came of it, and the lists read again afterwards. */
import { asApiError, explain } from '#lib/api/errors.ts';
import { useRuntime, useTransfers } from '#lib/state/context.ts';
import { say, sayFailure } from '#lib/ui/toast.ts';

export function useRowWork() {
  const runtime = useRuntime();
  const transfers = useTransfers();
  let busyId = $state<string | null>(null);

  return {
    get busyId() {
      return busyId;
    },
    refresh: () => Promise.all([runtime.refresh(), transfers.refresh()]),
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
      await this.refresh();
    },
  };
}
