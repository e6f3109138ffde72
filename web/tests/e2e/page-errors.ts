import type { Page } from '@playwright/test';

/** Everything the page throws or writes to its console as an error, from now on. */
export function collectErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(`threw: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(`wrote: ${message.text()} (${message.location().url})`);
  });
  return errors;
}
