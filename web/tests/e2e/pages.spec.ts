/** What every page owes: nothing serious for axe in either theme, no sideways scrolling, an end to waiting. */
import { expect, expectAccessible, expectNoOverflow, test } from './gateway-fixture.ts';
import { test as scenario } from './fixtures.ts';

const pages = [
  ['Overview', '/'],
  ['Playground', '/playground?sae=demo&features=13:55'],
  ['Features', '/features'],
  ['Features', '/features?find=contrast'],
  ['Features', '/features?sae=demo&index=1'],
  ['Monitor', '/monitor?sae=demo&features=1'],
  ['Models', '/models'],
  ['SAEs', '/saes'],
  ['Profiles', '/profiles'],
  ['Settings', '/settings'],
] as const;

for (const theme of ['dark', 'light']) {
  test(`axe finds nothing serious on any page, wide or narrow, and nothing is too wide: ${theme}`, async ({
    page,
    stack,
  }) => {
    test.setTimeout(150_000);
    await stack.api('POST', '/profiles', {
      name: 'a-name-without-any-place-to-break-'.repeat(3),
      sae_id: 'demo',
      features: [{ index: 1, strength: 3 }],
    });
    await stack.api('POST', '/models', { repo_id: 'some/slow-model-with-quite-a-long-name-for-a-narrow-window' });
    await page.addInitScript((name) => localStorage.setItem('millm:theme', name), theme);
    for (const [name, path] of pages) {
      await test.step(path, async () => {
        await page.setViewportSize({ width: 1440, height: 800 });
        await page.goto(path);
        await expect(page.getByRole('heading', { level: 1, name })).toBeAttached();
        for (const width of [1440, 360]) {
          await page.setViewportSize({ width, height: 800 });
          await expect(page.getByRole('main').getByRole('status', { name: /^Loading/ })).toHaveCount(0);
          await expectNoOverflow(page);
          await expectAccessible(page);
        }
      });
    }
  });
}

test('the build is sent compressed', async ({ stack }) => {
  const page = await (await fetch(stack.url)).text();
  const script = /"(\/_app\/immutable\/[^"]+\.js)"/.exec(page)?.[1] ?? /\/_app\/immutable\/[^"]+\.js/.exec(page)?.[0];
  const response = await fetch(new URL(script ?? '', stack.url), { headers: { 'accept-encoding': 'br' } });
  expect(response.headers.get('content-encoding')).toBe('br');
  expect(response.headers.get('cache-control')).toContain('immutable');
});

for (const path of ['/models', '/saes']) {
  scenario(`${path} says when the server is not there, and fills when it is`, async ({ page, gateway }) => {
    gateway.play('down');
    await page.goto(`${gateway.url}${path}`);
    await expect(page.getByText('The server cannot be reached.')).toBeVisible({ timeout: 20_000 });
    gateway.play('ready');
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect(page.getByRole('main').getByRole('listitem').first()).toBeVisible();
  });
}

scenario('an empty server is told what to get', async ({ page, gateway }) => {
  gateway.play('no-model');
  await page.goto(`${gateway.url}/models`);
  await expect(page.getByTestId('empty-state')).toContainText('No model yet');
  await page.goto(`${gateway.url}/saes`);
  await expect(page.getByTestId('empty-state')).toContainText('No SAE yet');
});

test('the overview tells the next step as the server changes', async ({ page, stack }) => {
  await page.setViewportSize({ width: 1500, height: 900 });
  await stack.api('POST', '/saes/demo/detach');
  await page.goto('/');
  const start = page.getByTestId('quick-start');
  await expect(start.getByRole('listitem').filter({ hasText: 'Attach an SAE' })).toHaveAttribute(
    'aria-current',
    'step',
  );
  await stack.api('POST', '/saes/demo/attach');
  await expect(start.getByRole('listitem').filter({ hasText: 'Attach an SAE' })).not.toHaveAttribute(
    'aria-current',
    'step',
  );
});

test('a request appears in the log of the overview', async ({ page, stack }) => {
  await page.setViewportSize({ width: 1500, height: 900 });
  await page.goto('/');
  const recent = page.getByTestId('recent-requests');
  await recent.getByRole('button', { name: 'Keep one' }).click();
  await expect(recent).toContainText('None yet');
  await page.getByLabel('Your message').fill('hello');
  await page.getByLabel('Your message').press('Enter');
  await expect(page.getByTestId('answer-plain')).toHaveAttribute('data-status', 'done');
  await expect(recent.getByRole('listitem').first()).toContainText('SmolLM2-135M-Instruct', { timeout: 10_000 });
  await expect(page.getByTestId('throughput').getByRole('img')).toBeVisible();
  await expect(stack.fake.requests.length).toBeGreaterThan(0);
});
