import { gzipSync } from 'node:zlib';
import type { Scenario } from '../fake/scenarios.ts';
import { ask, expect, steered, test } from './fixtures.ts';
import { expectAccessible } from './gateway-fixture.ts';

const FIRST_LOAD_LIMIT = 200_000;

// axe takes long: each theme once, on one of the widths, and each state of the server in one of the themes.
for (const [theme, width] of [
  ['dark', 1280],
  ['light', 360],
] as const) {
  test(`axe finds nothing serious: ${theme}, ${width} px`, async ({ page, gateway }) => {
    await page.setViewportSize({ width, height: 800 });
    await page.addInitScript((name) => localStorage.setItem('millm:theme', name), theme);
    await page.goto(gateway.url);
    await expect(page.getByLabel('Feature to steer')).toBeVisible();
    await expectAccessible(page);
    await page.getByLabel('Feature to steer').click();
    await expect(page.getByRole('option').first()).toBeVisible();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await ask(page);
    await expect(steered(page)).toHaveAttribute('data-status', 'done');
    await steered(page).getByText('ships', { exact: true }).click();
    await expect(page.getByTestId('token-popover')).toBeVisible();
    await expectAccessible(page);
  });
}
for (const [theme, scenario] of [
  ['dark', 'no-model'],
  ['light', 'no-sae'],
  ['dark', 'queue-full'],
] satisfies ['dark' | 'light', Scenario][]) {
  test(`axe finds nothing serious: ${theme}, ${scenario}`, async ({ page, gateway }) => {
    gateway.play(scenario);
    await page.addInitScript((name) => localStorage.setItem('millm:theme', name), theme);
    await page.goto(gateway.url);
    await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'online');
    if (scenario !== 'no-model') {
      await expect(page.getByLabel('Your message')).toBeEnabled();
      await ask(page);
      await expect(page.getByTestId('answer-plain')).toHaveAttribute('data-status', /done|error/);
    }
    await expectAccessible(page);
  });
}

test('the theme is dark at first, remembered when changed, and set before the first paint', async ({
  page,
  gateway,
}) => {
  await page.goto(gateway.url);
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await page.getByRole('button', { name: 'Switch to the light theme' }).click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
  // Before any script of ours has run: only what is in the page itself.
  await page.route('**/*.js', (route) => void setTimeout(() => void route.continue(), 1500));
  await page.reload({ waitUntil: 'commit' });
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light', { timeout: 1400 });
  await expect(page.getByTestId('model-card')).toBeVisible();
});

test('the first load is under 200 kB of JavaScript, and nothing comes from elsewhere', async ({ page, gateway }) => {
  let size = 0;
  const strangers: string[] = [];
  page.on('response', async (response) => {
    if (!response.url().startsWith(gateway.url)) strangers.push(response.url());
    if (response.url().endsWith('.js')) size += gzipSync(await response.body()).length;
  });
  await page.goto(gateway.url);
  await expect(page.getByLabel('Feature to steer')).toBeVisible();
  await page.waitForLoadState('networkidle');
  expect(size).toBeGreaterThan(10_000);
  expect(size).toBeLessThan(FIRST_LOAD_LIMIT);
  expect(strangers).toEqual([]);
});

for (const width of [360, 768, 1440, 3840]) {
  test(`nothing is wider than the window at ${width} px`, async ({ page, gateway }) => {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(gateway.url);
    await expect(page.getByLabel('Feature to steer')).toBeVisible();
    await ask(page, 'A-very-long-word-without-any-place-to-break-'.repeat(8));
    await expect(steered(page)).toHaveAttribute('data-status', 'done');
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0); // a reserved scrollbar makes it negative
  });
}

test('on a phone one answer is shown at a time while both stream', async ({ page, gateway }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  gateway.play('slow');
  await page.goto(gateway.url);
  await expect(page.getByLabel('Feature to steer')).toBeVisible();
  await ask(page);
  await expect(steered(page)).toBeVisible();
  await expect(page.getByTestId('answer-plain')).toBeHidden();
  await page.getByRole('button', { name: 'Default' }).click();
  await expect(page.getByTestId('answer-plain')).toBeVisible();
  await expect(steered(page)).toBeHidden();
  await expect(page.getByTestId('answer-plain')).toContainText('keeper');
});

test('streaming follows a reader at the end and leaves one who scrolled up alone', async ({ page, gateway }) => {
  await page.setViewportSize({ width: 800, height: 640 });
  await page.goto(gateway.url);
  await expect(page.getByLabel('Feature to steer')).toBeVisible();
  await page.getByLabel('Most tokens per answer').fill('600');
  await page.getByLabel('Most tokens per answer').press('Enter');
  await ask(page);
  const distance = () =>
    page.evaluate(() => document.documentElement.scrollHeight - window.scrollY - window.innerHeight);
  await expect(steered(page)).toHaveAttribute('data-status', 'done', { timeout: 20_000 });
  expect(await distance()).toBeLessThan(80);
  await steered(page).getByRole('button', { name: 'Retry' }).click();
  await expect(steered(page)).toHaveAttribute('data-status', 'streaming');
  await page.evaluate(() => window.scrollTo({ top: 0 }));
  await expect(steered(page)).toHaveAttribute('data-status', 'done', { timeout: 20_000 });
  expect(await page.evaluate(() => window.scrollY)).toBe(0);
});

test('one who turns the wheel back while an answer streams is not taken down again', async ({ page, gateway }) => {
  await page.setViewportSize({ width: 800, height: 640 });
  await page.goto(`${gateway.url}/playground?sae=demo&features=12:30`);
  await page.getByRole('button', { name: /^Steering/ }).click();
  await page.getByLabel('Most tokens per answer').fill('4096');
  await page.getByLabel('Most tokens per answer').press('Tab');
  await page.keyboard.press('Escape');
  await ask(page);
  const top = () => page.evaluate(() => window.scrollY);
  await expect.poll(top).toBeGreaterThan(400);
  await page.mouse.move(300, 300);
  for (let turn = 0; turn < 2; turn += 1) {
    await page.mouse.wheel(0, -250);
    await page.waitForTimeout(400);
    const seen = await top();
    await page.waitForTimeout(300);
    await expect(steered(page)).toHaveAttribute('data-status', 'streaming');
    expect(await top()).toBe(seen);
    await page.mouse.wheel(0, 20_000);
    await expect.poll(top).toBeGreaterThan(seen + 250); // at the end, it goes on
  }
});

test('nothing jumps while both answers stream in the playground', async ({ page, gateway }) => {
  gateway.play('slow');
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.goto(`${gateway.url}/playground?sae=demo&features=12:30`);
  await expect(page.getByTestId('steered-feature')).toContainText('the sea');
  await page.getByLabel('Most tokens per answer').fill('24');
  await page.getByLabel('Most tokens per answer').press('Tab');
  await page.evaluate(() => {
    const shifts = { sum: 0, worst: '' };
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; sources: { node?: Node }[] })[]) {
        shifts.sum += entry.value;
        const node = entry.sources[0]?.node;
        shifts.worst += `${entry.value.toFixed(3)} ${node instanceof Element ? node.outerHTML.slice(0, 120) : ''}\n`;
      }
    }).observe({ type: 'layout-shift' });
  });
  await ask(page);
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  await steered(page).getByRole('button', { name: 'Retry' }).click();
  await expect(steered(page)).toHaveAttribute('data-status', 'streaming');
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  const { sum, worst } = await page.evaluate(
    () => (window as unknown as { shifts: { sum: number; worst: string } }).shifts,
  );
  expect(sum, worst).toBeLessThan(0.1);
});

test('2000 streamed tokens a side cost little to draw', async ({ page, gateway }) => {
  test.setTimeout(90_000);
  await page.goto(gateway.url);
  await expect(page.getByLabel('Feature to steer')).toBeVisible();
  await page.getByLabel('Most tokens per answer').fill('2000');
  await page.getByLabel('Most tokens per answer').press('Enter');

  // The main thread's own processor time, so that a busy machine does not count.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const measure = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return (name: string) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  };
  const before = await measure();
  await ask(page);
  await expect(steered(page)).toHaveAttribute('data-status', 'done', { timeout: 80_000 });
  const after = await measure();
  const frames = after('LayoutCount') - before('LayoutCount');
  const busyMs = (after('TaskDuration') - before('TaskDuration')) * 1000;
  await expect(steered(page).getByTestId('pace')).toContainText('2000 tokens');
  expect(busyMs / frames, `${frames} frames`).toBeLessThan(50);
  expect(busyMs / 4000, 'per token').toBeLessThan(3);
});
