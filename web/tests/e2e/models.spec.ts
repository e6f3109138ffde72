import { expect, expectAccessible, test } from './gateway-fixture.ts';

const row = 'model-row';

test('a model is looked at, downloaded with progress, loaded in place of another, and deleted', async ({
  page,
  stack,
}) => {
  await page.goto('/models?add=some/slow-model');
  const dialog = page.getByRole('dialog', { name: 'Add a model' });
  const preview = dialog.getByTestId('model-preview');
  await expect(preview).toContainText('135M');
  await expect(preview.getByLabel(/FP16/)).toBeChecked();
  await expectAccessible(page);
  await preview.getByRole('button', { name: 'Download' }).click();
  await expect(dialog).toHaveCount(0);

  const mine = page.getByTestId(row).filter({ hasText: 'slow-model' });
  await expect(mine.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '10');
  const id = [...stack.fake.hub.downloads.keys()].at(-1) ?? '';
  stack.fake.hub.advance(id, 600_000);
  await expect(mine.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '60', { timeout: 3_000 });
  await expect(mine).toContainText('600 kB of 1.00 MB');
  stack.fake.hub.finish(id);
  await expect(mine).toHaveAttribute('data-status', 'ready');

  stack.fake.loadDelayMs = 1_000;
  await mine.getByRole('button', { name: 'Switch to it' }).click();
  await expect(mine).toHaveAttribute('data-status', 'loading');
  await expect(mine).toHaveAttribute('data-status', 'loaded');
  await expect(page.getByTestId(row).filter({ hasText: 'SmolLM2' })).toHaveAttribute('data-status', 'ready');

  await mine.getByRole('button', { name: /^More for/ }).click();
  await page.getByRole('menuitem', { name: 'Delete…' }).click();
  await expect(page.getByRole('alertdialog')).toContainText('It is unloaded first.');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await expect(mine).toHaveCount(0);
});

test('a download is cancelled, and goes on where it stopped', async ({ page, stack }) => {
  await stack.api('POST', '/models', { repo_id: 'some/slow-other' });
  await page.goto('/models');
  const mine = page.getByTestId(row).filter({ hasText: 'slow-other' });
  await expect(mine.getByRole('progressbar')).toBeVisible();
  await mine.getByRole('button', { name: 'Cancel' }).click();
  await expect(mine.getByRole('progressbar')).toHaveCount(0);
  await mine.getByRole('button', { name: 'Try again' }).click();
  await expect(mine.getByRole('progressbar')).toBeVisible();
});

test('the memory bar shows what a model would take before it is loaded', async ({ page, stack }) => {
  await stack.api('POST', '/models', { repo_id: 'some/model' });
  await page.goto('/models');
  const mine = page.getByTestId(row).filter({ hasText: 'some/model' });
  await expect(mine).toHaveAttribute('data-status', 'ready');
  await expect(page.getByTestId('memory-preview')).toHaveCount(0);
  await mine.hover();
  await expect(page.getByTestId('memory-preview')).toBeVisible();
  await expect(page.getByTestId('memory-card')).toContainText(/takes about .* it fits/);
});

test('a locked model stays', async ({ page }) => {
  await page.goto('/models');
  const mine = page.getByTestId(row).first();
  await mine.getByRole('button', { name: /^More for/ }).click();
  await page.getByRole('menuitem', { name: 'Lock' }).click();
  await expect(mine).toContainText('Locked');
  await expect(mine.getByRole('button', { name: 'Unload' })).toBeDisabled();
});

test.describe('what the hub refuses', () => {
  test.use({ expectedErrors: [/status of (403|502)/] });

  test('is said where it was asked, and a gated repository asks for a token', async ({ page }) => {
    await page.goto('/models?add=');
    const dialog = page.getByRole('dialog', { name: 'Add a model' });
    await dialog.getByLabel('Repository').fill('some/missing-model');
    await dialog.getByRole('button', { name: 'Look' }).click();
    await expect(dialog.getByRole('alert')).toContainText('The hub has no repository some/missing-model.');
    await dialog.getByLabel('Repository').fill('some/gated-model');
    await dialog.getByRole('button', { name: 'Look' }).click();
    await dialog.getByLabel('Hub token').fill('hf_x');
    await dialog.getByRole('button', { name: 'Look' }).click();
    await expect(dialog.getByTestId('model-preview')).toBeVisible();
  });
});
