import { startStack } from '../stack/stack.ts';
import { expect, expectAccessible, test } from './gateway-fixture.ts';

test('the theme changes from here as well', async ({ page }) => {
  await page.goto('/settings');
  await page.getByRole('radiogroup', { name: 'Theme' }).getByText('Light').click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
  await page.reload();
  await expect(page.getByRole('radio', { name: 'Light' })).toBeChecked();
});

test('the environment is checked and the server tells what it was started with', async ({ page }) => {
  await page.goto('/settings');
  const environment = page.getByTestId('environment');
  await expect(environment).toContainText('computes on cpu');
  await expect(environment).toContainText('attached: demo');
  await expect(environment).toContainText('only from this machine');
  await expect(page.getByTestId('server-facts')).toContainText('Largest body');
  await expectAccessible(page);
});

test('the request log is kept, bounded and emptied', async ({ page, stack }) => {
  await page.goto('/settings');
  const log = page.getByTestId('request-log');
  await log.getByRole('switch').click();
  await log.getByLabel('Most lines kept').fill('500');
  await log.getByLabel('Most lines kept').press('Enter');
  await expect
    .poll(async () => (await stack.api<{ settings: unknown }>('GET', '/config')).settings)
    .toMatchObject({ request_log_enabled: true, request_log_max_rows: 500 });
  await log.getByRole('button', { name: 'Empty the log…' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Empty it' }).click();
  await expect(page.getByText('0 lines deleted')).toBeVisible();
});

test('a key is made, shown once, used and revoked', async ({ page, stack }) => {
  await page.goto('/settings');
  const keys = page.getByTestId('api-keys');
  await keys.getByLabel('New key').fill('notebook');
  await keys.getByLabel('It may').selectOption('both');
  await keys.getByRole('button', { name: 'Make it' }).click();
  const secret = (await keys.getByTestId('new-secret').getByRole('code').innerText()).trim();
  expect(secret).toMatch(/^millm-.{40,}$/);
  await expectAccessible(page);
  await page.reload();
  await expect(keys.getByTestId('key-row').first()).toContainText('notebook');
  await expect(page.getByText(secret)).toHaveCount(0);
  await keys.getByRole('button', { name: 'Revoke notebook' }).first().click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(keys.getByTestId('key-row').first()).toContainText('Revoked');
  expect(await stack.api('GET', '/keys')).toMatchObject([{ status: 'revoked' }]);
});

test.describe('a server that asks for keys', () => {
  test.use({ expectedErrors: [/status of 401/] });
  test('asks for one, refuses a wrong one, and opens with the right one', async ({ page }) => {
    const locked = await startStack({ MILLM_API_KEYS: 'sesame-sesame-sesame' });
    try {
      await page.goto(locked.url);
      await expect(page.getByText('This server asks for an API key')).toBeVisible();
      await expectAccessible(page);
      await page.getByLabel('API key').fill('wrong');
      await page.getByRole('button', { name: 'Enter' }).click();
      await expect(page.getByText('That key does not open this server')).toBeVisible();
      await page.getByLabel('API key').fill('sesame-sesame-sesame');
      await page.getByRole('button', { name: 'Enter' }).click();
      await expect(page.getByTestId('sae-card')).toContainText('Attached');
      await page.getByLabel('Your message').fill('hello');
      await page.getByLabel('Your message').press('Enter');
      await expect(page.getByTestId('answer-plain')).toHaveAttribute('data-status', 'done');
      await expect(page.getByTestId('answer-steered')).toHaveAttribute('data-status', 'done');
    } finally {
      await locked.close();
    }
  });
});
