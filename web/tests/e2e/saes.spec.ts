import { expect, expectAccessible, test } from './gateway-fixture.ts';

const row = 'sae-row';

test('SAEs of a repository are chosen, downloaded and attached beside one another', async ({ page }) => {
  await page.goto('/saes?add=some/saes');
  const dialog = page.getByRole('dialog', { name: 'Add SAEs' });
  await dialog.getByLabel(/layer_10_residual/).check();
  await dialog.getByLabel(/layer_15_residual/).check();
  await expectAccessible(page);
  await dialog.getByRole('button', { name: 'Download 2' }).click();
  await expect(dialog).toHaveCount(0);
  const tenth = page.getByTestId(row).filter({ hasText: 'layer_10' });
  await expect(tenth).toHaveAttribute('data-status', 'ready');
  await tenth.getByRole('button', { name: 'Attach…' }).click();
  await expect(page.getByTestId('compatibility')).not.toContainText('Checking');
  await page.getByRole('dialog').getByRole('button', { name: 'Attach', exact: true }).click();
  await expect(tenth).toHaveAttribute('data-status', 'attached');
  await expect(page.getByTestId(row).filter({ hasText: 'demo' })).toHaveAttribute('data-status', 'attached');
  await expect(page.getByTestId('places').getByRole('img')).toHaveAccessibleName(
    /demo after block 15.*after block 10|after block 10.*demo after block 15/,
  );

  await tenth.getByRole('button', { name: /^More for/ }).click();
  await page.getByRole('menuitem', { name: 'Delete…' }).click();
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await expect(tenth).toHaveCount(0);
});

test('each SAE shows the quality that its files state, and says what they do not', async ({ page, stack }) => {
  for (const layer of [10, 12])
    await stack.api('POST', '/saes', { repo_id: 'some/saes', path: `layer_${layer}_residual` });
  await page.goto('/saes');
  const quality = (name: string) =>
    page
      .getByTestId(row)
      .filter({ hasText: name })
      .getByLabel(/^Quality of/)
      .locator('div');
  await expect(quality('demo')).toHaveText([
    /L0\s*36.8 per token/,
    /Explained variance\s*85.7 %/,
    /Loss recovered\s*97.1 %/,
    /Dead features\s*16 of 4,096/,
    /Stated in\s*quality.json/,
  ]);
  await expect(quality('layer_10').nth(1)).toHaveText(/Explained variance\s*not stated/);
  await expect(page.getByTestId(row).filter({ hasText: 'layer_12' })).toContainText('Quality not stated in its files');
  await expectAccessible(page);
});

test('another layer is checked before it is attached there', async ({ page, stack }) => {
  await stack.api('POST', '/saes/demo/detach');
  await page.goto('/saes');
  await page.getByTestId(row).first().getByRole('button', { name: 'Attach…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Attach demo' });
  await dialog.getByLabel('Layer').fill('99');
  await dialog.getByLabel('Layer').press('Enter');
  await expect(dialog.getByTestId('compatibility')).toContainText('There is no block 99');
  await expect(dialog.getByRole('button', { name: 'Attach', exact: true })).toBeDisabled();
  await dialog.getByLabel('Layer').fill('15');
  await dialog.getByLabel('Layer').press('Enter');
  await expect(dialog.getByRole('button', { name: 'Attach', exact: true })).toBeEnabled();
  await dialog.getByRole('button', { name: 'Attach', exact: true }).click();
  await expect(page.getByTestId(row).first()).toHaveAttribute('data-status', 'attached');
});

test('labels leave as a file and come back', async ({ page, stack }) => {
  await page.goto('/saes');
  const saving = page.waitForEvent('download');
  await page.getByRole('button', { name: 'More for demo' }).click();
  await page.getByRole('menuitem', { name: 'Export labels' }).click();
  const file = await (await saving).path();
  await page
    .getByTestId('label-file')
    .evaluate((input) => input.addEventListener('click', (event) => event.preventDefault()));
  await page.getByRole('button', { name: 'More for demo' }).click();
  await page.getByRole('menuitem', { name: 'Import labels…' }).click();
  await page.getByTestId('label-file').setInputFiles({
    name: 'labels.json',
    mimeType: 'application/json',
    buffer: (await import('node:fs')).readFileSync(file),
  });
  await expect(page.getByText(/labels imported|written by hand kept/)).toBeVisible();
  expect((await stack.api<{ total: number }>('GET', '/saes/demo/features?limit=1')).total).toBeGreaterThan(0);
});

test('the registry is searched, and what is found is downloaded', async ({ page }) => {
  await page.goto('/saes?add=');
  const dialog = page.getByRole('dialog', { name: 'Add SAEs' });
  await dialog.getByText('Registry').click();
  const registry = dialog.getByTestId('registry');
  await expect(registry.getByRole('listitem')).toHaveCount(3);
  await registry.getByLabel('Search').fill('layer_20');
  await expect(registry.getByRole('listitem')).toHaveCount(1);
  await expectAccessible(page);
  await registry.getByRole('button', { name: /^Download layer_20/ }).click();
  await expect(page.getByTestId(row).filter({ hasText: 'layer_20' })).toHaveAttribute('data-status', 'ready');
});
