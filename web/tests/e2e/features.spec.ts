import type { Page } from '@playwright/test';
import { expect, expectAccessible, expectNoOverflow, test } from './gateway-fixture.ts';

const list = (page: Page) => page.getByRole('listbox', { name: 'Features' });
const search = (page: Page) => page.getByRole('combobox', { name: 'Search features' });
const label = (page: Page) => page.getByTestId('feature-label');

interface Labelled {
  label: string | null;
}

test('a feature is searched, opened with the keyboard, renamed and named as before', async ({ page, stack }) => {
  await page.goto('/features');
  await expect(list(page).getByRole('option').first()).toBeVisible();
  await search(page).fill('numbers');
  await expect(list(page).getByRole('option').first()).toContainText('feature 1 about numbers');
  await search(page).press('ArrowDown');
  await search(page).press('Enter');
  await expect(page).toHaveURL(/\/features\?sae=demo&index=1$/);
  await expect(label(page)).toHaveText('feature 1 about numbers');
  await expect(page.getByTestId('feature-page')).toContainText('sea');
  await expect(page.getByTestId('texts-card')).toContainText('Tokens read');

  await page.getByRole('button', { name: 'Edit the label' }).click();
  await page.getByLabel('Label of feature 1').fill('counting');
  await page.getByLabel('Label of feature 1').press('Enter');
  await expect(label(page)).toHaveText('counting');
  await expect(list(page).getByRole('option').first()).toContainText('counting');
  await expect.poll(async () => (await stack.api<Labelled>('GET', '/saes/demo/features/1')).label).toBe('counting');
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(label(page)).toHaveText('feature 1 about numbers');
  await expect
    .poll(async () => (await stack.api<Labelled>('GET', '/saes/demo/features/1')).label)
    .toBe('feature 1 about numbers');

  await page.getByRole('list', { name: 'Nearest features' }).getByRole('link').click();
  await expect(page).toHaveURL(/index=2/);
  await expect(label(page)).toContainText('feature 2');
});

test('a number opens a feature that has no label, and its address holds', async ({ page }) => {
  const asked: string[] = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.goto('/features');
  await expect(list(page).getByRole('option').first()).toBeVisible();
  await search(page).fill('4095');
  await expect(list(page).getByRole('option').first()).toContainText('#4095');
  await list(page).getByRole('option').first().click();
  await expect(page).toHaveURL(/index=4095/);
  asked.length = 0;
  await page.reload();
  await expect(label(page)).toHaveText('Feature 4095');
  await expect(page.getByTestId('texts-card')).toContainText('Tokens read');
  await page.waitForTimeout(1_500);
  expect(asked.filter((path) => path.endsWith('/features/4095')).length, 'asked once, or twice').toBeLessThanOrEqual(2);
  expect(asked.filter((path) => path === '/api/activations').length, 'each text once, or twice').toBeLessThanOrEqual(
    12,
  );
});

test('examples of two kinds find what tells them apart', async ({ page }) => {
  await page.goto('/features');
  await page.getByText('By contrast').click();
  await page.getByRole('button', { name: 'Try an example' }).click();
  await page.getByRole('button', { name: 'Find what tells them apart' }).click();
  const found = page.getByRole('list', { name: 'Features that tell them apart' });
  await expect(found.getByRole('listitem')).toHaveCount(5);
  await expect(found.getByRole('listitem').first()).toContainText(/AUROC\s*0\.95/);
  await expect(found.getByRole('link', { name: /Playground/ }).first()).toHaveAttribute(
    'href',
    /^\/playground\?sae=demo&features=1:/,
  );
  await expectAccessible(page);
  await found.getByRole('link').first().click();
  await expect(page).toHaveURL(/find=contrast&sae=demo&index=1/);
  await expect(label(page)).toContainText('feature 1');
  await expect(found.getByRole('listitem')).toHaveCount(5); // the result stays beside what it led to
});

test('a feature is tried at several strengths at once', async ({ page, stack }) => {
  await page.goto('/features?sae=demo&index=3');
  await page.getByLabel('Full strength').fill('20');
  await page.getByLabel('Full strength').press('Tab');
  await expect(page.getByRole('link', { name: 'Open in playground' })).toHaveAttribute(
    'href',
    '/playground?sae=demo&features=3:20',
  );
  stack.fake.requests.length = 0;
  await page.getByRole('button', { name: 'Steer', exact: true }).click();
  const cells = page.getByTestId('strip-cell');
  await expect(cells).toHaveCount(4);
  for (const cell of await cells.all()) await expect(cell).toHaveAttribute('data-status', 'done');
  await expect(cells.nth(1)).not.toContainText('Steered by');
  await expect(cells.nth(3)).toContainText('Steered by');
  const strengths = stack.fake.requests.map(({ steering }) => steering?.features[0]?.strength ?? 0);
  expect(strengths.toSorted((a, b) => a - b)).toEqual([-20, 0, 10, 20]);
  await expectAccessible(page);
});

test('on a phone list and feature are two steps', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.addInitScript(() => localStorage.setItem('millm:theme', 'light'));
  await page.goto('/features');
  await list(page).getByRole('option').first().click();
  await expect(label(page)).toBeVisible();
  await expect(list(page)).toBeHidden();
  await expect(page.getByTestId('texts-card')).toContainText('Tokens read');
  await expectAccessible(page);
  await expectNoOverflow(page);
  const isTooWide = await page.getByTestId('texts-card').evaluate((card) => card.scrollWidth > card.clientWidth);
  expect(isTooWide, 'something is wider than its card').toBe(false);
  await page.getByRole('link', { name: 'Back to the list' }).click();
  await expect(list(page)).toBeVisible();
});

test('without an SAE the page says what to do', async ({ page, stack }) => {
  await stack.api('POST', '/saes/demo/detach');
  await page.goto('/features');
  await expect(page.getByTestId('empty-state')).toContainText('No SAE is attached');
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Go to the SAEs' }).click();
  await expect(page).toHaveURL(/\/saes$/);
});

test.describe('when the features cannot be listed', () => {
  test.use({ expectedErrors: [/status of 500/] });
  test('the page says so, and trying again fills it', async ({ page }) => {
    await page.route('**/api/saes/demo/features?*', (route) => route.fulfill({ status: 500, body: '{}' }));
    await page.goto('/features');
    await expect(page.getByText('Something went wrong on the server.')).toBeVisible();
    await page.unroute('**/api/saes/demo/features?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect(list(page).getByRole('option').first()).toBeVisible();
  });
});

test('20 000 labels scroll smoothly, and a key press is answered within 100 ms', async ({ page }) => {
  const total = 20_000;
  // The scripted SAE has 4,096 features; the page is what is measured here.
  await page.route('**/api/saes/demo/features?*', (route) => {
    const query = new URL(route.request().url()).searchParams;
    const [skip, limit] = [Number(query.get('skip')), Number(query.get('limit'))];
    const items = Array.from({ length: Math.max(0, Math.min(limit, total - skip)) }, (_, at) => ({
      index: skip + at,
      label: `label ${skip + at} of a long list`,
      density: 0.001,
      max_activation: 10,
    }));
    return route.fulfill({ json: { success: true, data: { items, total, skip, limit }, error: null } });
  });
  await page.goto('/features');
  await expect(page.getByTestId('feature-count')).toContainText('20,000 features');

  // The main thread's own processor time, so that a busy machine does not count.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const measure = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return (name: string) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  };
  const steps = 120;
  const before = await measure();
  await list(page).evaluate(async (scroller, count) => {
    for (let step = 1; step <= count; step += 1) {
      scroller.scrollTop = (scroller.scrollHeight / count) * step;
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }, steps);
  const after = await measure();
  expect(((after('TaskDuration') - before('TaskDuration')) * 1000) / steps, 'ms per frame').toBeLessThan(50);
  expect(await list(page).getByRole('option').count(), 'rows in the page').toBeLessThan(80);
  await expect(list(page).getByRole('option').last()).toContainText('label 19999');

  await list(page).focus();
  await page.keyboard.press('Home');
  const busyBefore = await measure();
  for (let press = 0; press < 20; press += 1) await page.keyboard.press('ArrowDown');
  await expect(list(page).locator('[data-active="true"]')).toHaveAttribute('aria-posinset', '21');
  const busyAfter = await measure();
  expect(((busyAfter('TaskDuration') - busyBefore('TaskDuration')) * 1000) / 20, 'ms per key').toBeLessThan(100);
  const latency = await list(page).evaluate(async (scroller) => {
    const from = performance.now();
    scroller.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true, cancelable: true }));
    while (!scroller.querySelector('[data-active="true"][aria-posinset="22"]')) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    return performance.now() - from;
  });
  expect(latency, 'ms until the row is marked').toBeLessThan(100);
});
