/** The dialog that adds is in the address, with what is looked for, so that "get this model" can be a link. */
import { goto } from '$app/navigation';
import { resolve } from '$app/paths';
import { page } from '$app/state';

export function useAskedRepository(path: '/models' | '/saes') {
  return {
    /** null = the dialog is closed. */
    get id(): string | null {
      return page.url.searchParams.get('add');
    },
    set id(repository: string | null) {
      void goto(resolve(repository === null ? path : `${path}?add=${encodeURIComponent(repository)}`), {
        reset: false,
        replace: repository === null,
      });
    },
  };
}
