import { expect, expectAccessible, expectNoOverflow, test } from './gateway-fixture.ts';

const pages = ['Overview', 'Playground', 'Features', 'Monitor', 'Models', 'SAEs', 'Profiles', 'Settings'];

test('every page is one click away, with its title and one main landmark', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'online');
  for (const name of pages) {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click();
    await expect(page).toHaveTitle(`${name} · miLLM`);
    await expect(page.getByRole('main')).toHaveCount(1);
    await expect(page.getByRole('heading', { level: 1, name })).toBeAttached();
    await expect(page.getByRole('link', { name, exact: true })).toHaveAttribute('aria-current', 'page');
  }
});

test('on a phone the pages are in a sheet', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto('/models');
  await expect(page.getByRole('navigation', { name: 'Pages' })).toHaveCount(0);
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page).toHaveTitle('Settings · miLLM');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expectNoOverflow(page);
});

test('a keyboard reaches the content first', async ({ page }) => {
  await page.goto('/settings');
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to content' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main')).toBeFocused();
});

test('what happens to the server is on the page without asking again', async ({ page, stack }) => {
  await page.goto('/');
  await expect(page.getByTestId('sae-card')).toContainText('Attached');
  await stack.api('POST', '/saes/demo/detach');
  await expect(page.getByTestId('sae-card')).toContainText('Not attached', { timeout: 3_000 });
});

test('the palette goes to pages, detaches an SAE and finds features', async ({ page, stack }) => {
  await page.goto('/settings');
  await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'online');
  await page.keyboard.press('Control+k');
  const palette = page.getByRole('dialog', { name: 'Go to' });
  const input = palette.getByRole('combobox');
  await expect(input).toBeFocused();
  await expectAccessible(page);
  await input.fill('detach');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Detached demo')).toBeVisible();
  expect((await stack.api<{ attached: boolean }>('GET', '/saes/demo')).attached).toBe(false);

  await stack.api('POST', '/saes/demo/attach');
  await page.keyboard.press('Control+k');
  await input.fill('sea');
  await expect(palette.getByText('Features of demo')).toBeVisible();
  await input.fill('profiles');
  await page.keyboard.press('Enter');
  await expect(page).toHaveTitle('Profiles · miLLM');
});

test('g and a letter opens a page; ? explains the keys; typing is neither', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByLabel('Your message')).toBeEnabled();
  await page.getByLabel('Your message').fill('g');
  await page.getByLabel('Your message').press('m');
  await expect(page).toHaveTitle('Overview · miLLM');
  await page.getByRole('main').focus();
  await page.keyboard.press('g');
  await page.keyboard.press('m');
  await expect(page).toHaveTitle('Models · miLLM');
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keyboard shortcuts' })).toBeVisible();
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
});
