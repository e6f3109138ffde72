/** Each test gets a fake gateway of its own, and fails on any uncaught error of the page. */
import { test as base, type Page } from '@playwright/test';
import { startFakeGateway, type FakeGateway } from '../fake/gateway.ts';

export { expect } from '@playwright/test';

export const test = base.extend<{ gateway: FakeGateway }>({
  // eslint-disable-next-line no-empty-pattern -- Playwright reads the pattern
  gateway: async ({}, use) => {
    const gateway = await startFakeGateway();
    await use(gateway);
    await gateway.close();
  },
  page: async ({ page }, use) => {
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await use(page);
    if (errors.length > 0) throw new Error(`The page threw: ${errors.join('; ')}`);
  },
});

export async function ask(page: Page, text = 'Write a short story about a lighthouse.'): Promise<void> {
  await page.getByLabel('Your message').fill(text);
  await page.getByLabel('Your message').press('Enter');
}

export const plain = (page: Page) => page.getByTestId('answer-plain');
export const steered = (page: Page) => page.getByTestId('answer-steered');
