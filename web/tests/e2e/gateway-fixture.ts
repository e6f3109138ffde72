/**
 * The pages against the real gateway: one for each worker, put back to its beginning before each test. A test fails on any
 * uncaught error of the page and on anything written to its console as an error.
 */
import { AxeBuilder } from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';
import { startStack, type Stack } from '../stack/stack.ts';
import { collectErrors } from './page-errors.ts';

export { expect };

interface Fixtures {
  /** Errors of the console that this test provokes on purpose. */
  expectedErrors: RegExp[];
  stack: Stack;
  page: Page;
}

export const test = base.extend<Fixtures, { workerStack: Stack }>({
  workerStack: [
    // eslint-disable-next-line no-empty-pattern -- Playwright reads the pattern
    async ({}, use) => {
      const stack = await startStack();
      await use(stack);
      await stack.close();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
  stack: async ({ workerStack }, use) => {
    await workerStack.reset();
    await use(workerStack);
  },
  expectedErrors: [[], { option: true }],
  baseURL: async ({ workerStack }, use) => use(workerStack.url),
  page: async ({ page, stack: _ready, expectedErrors }, use) => {
    const errors = collectErrors(page);
    await use(page);
    const unexpected = errors.filter((text) => !expectedErrors.some((expected) => expected.test(text)));
    if (unexpected.length > 0) throw new Error(`The page ${unexpected.join('; it ')}`);
  },
});

/** axe, for what is in the page now: nothing serious, nothing critical. */
export async function expectAccessible(page: Page): Promise<void> {
  // One page without frames of others: axe need not open a second window to gather what it found.
  const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ['violations'] });
  const { violations } = await axe.analyze();
  const grave = violations.filter((found) => found.impact === 'serious' || found.impact === 'critical');
  expect(grave.map((found) => `${found.id}: ${found.nodes.map((node) => node.html).join(' | ')}`)).toEqual([]);
}

/** Once the layout has followed a change of the window's size, which charts do a frame later. */
export async function expectNoOverflow(page: Page): Promise<void> {
  const overflow = () =>
    page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await expect.poll(overflow, { message: 'the page is wider than the window', timeout: 3_000 }).toBeLessThanOrEqual(0);
}
