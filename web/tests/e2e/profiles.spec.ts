import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Page } from '@playwright/test';
import { expect, expectAccessible, expectNoOverflow, test } from './gateway-fixture.ts';

const sample = (name: string) => fileURLToPath(new URL(`../../../gateway/test/samples/${name}`, import.meta.url));
const row = (page: Page, name: string) => page.getByTestId('profile-row').filter({ hasText: name });

const calm = {
  name: 'calm',
  description: 'A quieter voice.',
  sae_id: 'demo',
  features: [
    { index: 7, strength: 12, label: 'the sea' },
    { index: 8, op: 'clamp', value: 4, label: 'music' },
  ],
};

async function choose(page: Page, profile: string, item: string) {
  await page.getByRole('button', { name: `More for ${profile}` }).click();
  await page.getByRole('menuitem', { name: item }).click();
}

test('a profile is written, put to use for everybody, changed and taken back', async ({ page, stack }) => {
  await page.goto('/profiles');
  await expect(page.getByText('No profile yet')).toBeVisible();
  await expectAccessible(page);
  await page.getByRole('button', { name: 'New profile' }).first().click();
  const editor = page.getByRole('dialog', { name: 'New profile' });
  await editor.getByLabel('Name').fill('seaside');
  await editor.getByLabel('Add a feature').fill('5');
  await editor.getByRole('list', { name: 'Features found' }).getByRole('button').first().click();
  const feature = editor.getByTestId('draft-feature');
  await feature.getByLabel(/^strength of/).fill('20');
  await feature.getByLabel(/^strength of/).press('Tab');
  await expectAccessible(page);
  await editor.getByRole('button', { name: 'Create' }).click();
  await row(page, 'seaside').getByRole('button', { name: 'Activate' }).click();
  await expect(row(page, 'seaside')).toHaveAttribute('data-active', 'true');
  const { features } = await stack.api<{ features: { strength: number }[] }>('GET', '/steering');
  expect(features.map(({ strength }) => strength)).toEqual([20]);

  await choose(page, 'seaside', 'Edit…');
  const edit = page.getByRole('dialog', { name: 'Edit the profile' });
  await edit.getByTestId('draft-feature').getByRole('combobox').selectOption('clamp');
  await edit.getByRole('button', { name: 'Save' }).click();
  await expect(edit).toHaveCount(0);
  await row(page, 'seaside').getByRole('button', { name: 'Deactivate' }).click();
  await expect(row(page, 'seaside')).toHaveAttribute('data-active', 'false');
  expect((await stack.api<{ features: unknown[] }>('GET', '/steering')).features).toEqual([]);
});

test('when and where a feature acts is edited, and requests are steered so', async ({ page, stack }) => {
  await stack.api('POST', '/profiles', {
    ...calm,
    features: [
      { ...calm.features[0], when: { index: 3, above: 1 } },
      { ...calm.features[1], scope: { positions: [0, 16], roles: ['user'] } },
    ],
  });
  await page.goto('/profiles');
  await choose(page, 'calm', 'Edit…');
  const editor = page.getByRole('dialog', { name: 'Edit the profile' });
  const sea = editor.getByTestId('draft-feature').filter({ hasText: 'the sea' });
  await expect(sea).toContainText('when #3 is above 1');
  await sea.getByRole('button', { name: 'When and where the sea acts' }).press('Enter');
  await sea.getByLabel('Above or below').selectOption('between');
  await sea.getByLabel('Most activation').fill('0.5');
  await sea.getByLabel('Most activation').press('Tab');
  await expect(sea.getByRole('alert')).toHaveText('Nothing is above 1 and below 0.5.');
  await sea.getByLabel('Most activation').fill('6');
  await sea.getByLabel('Most activation').press('Tab');
  await sea.getByLabel('Where the condition is looked for').selectOption('prompt');
  await sea.getByLabel('Acts in').selectOption('generated');
  const music = editor.getByTestId('draft-feature').filter({ hasText: 'music' });
  await expect(music).toContainText('words of user, positions 0 to 16');
  await music.getByRole('button', { name: 'When and where music acts' }).click();
  await music.getByLabel('Position after the last').fill('-1');
  await music.getByLabel('Position after the last').press('Tab');
  await music.getByLabel('system').check();
  await music.getByLabel('Special tokens too').click();
  await expectAccessible(page);
  await page.setViewportSize({ width: 360, height: 740 });
  await expectNoOverflow(page);
  await editor.getByRole('button', { name: 'Save' }).click();
  await expect(editor).toHaveCount(0);

  await fetch(`${stack.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
      messages: [{ role: 'user', content: 'hi' }],
      profile: 'calm',
    }),
  });
  expect(stack.fake.requests.at(-1)?.steering?.features).toMatchObject([
    { index: 7, when: { index: 3, above: 1, below: 6, mode: 'prompt' }, scope: { phase: 'generated' } },
    { index: 8, when: null, scope: { positions: [0, -1], roles: ['system', 'user'], special_tokens: false } },
  ]);
});

test('a deleted profile comes back when it is undone, and is gone when it is not', async ({ page, stack }) => {
  await stack.api('POST', '/profiles', calm);
  await page.goto('/profiles');
  await choose(page, 'calm', 'Delete');
  await expect(row(page, 'calm')).toHaveCount(0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(row(page, 'calm')).toBeVisible();
  expect(await stack.api('GET', '/profiles')).toHaveLength(1);
  await choose(page, 'calm', 'Delete');
  await page.reload(); // leaving the page means it
  await expect(page.getByText('No profile yet')).toBeVisible();
  expect(await stack.api('GET', '/profiles')).toHaveLength(0);
});

test('files of any format are dropped, and the report says what was understood', async ({ page }) => {
  await page.goto('/profiles');
  await expect(page.getByText('No profile yet')).toBeVisible();
  const files = ['profile-p3.json', 'cluster.json'].map((name) => ({ name, text: readFileSync(sample(name), 'utf8') }));
  const transfer = await page.evaluateHandle((given) => {
    const dropped = new DataTransfer();
    for (const { name, text } of given) dropped.items.add(new File([text], name, { type: 'application/json' }));
    return dropped;
  }, files);
  await page.getByTestId('drop-zone').dispatchEvent('drop', { dataTransfer: transfer });
  const report = page.getByTestId('import-report');
  await expect(report.getByRole('article')).toHaveCount(2);
  await expect(report.getByText('Imported').first()).toBeVisible();
  await expect(report).toContainText('3 features for demo');
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByTestId('profile-row')).toHaveCount(2);
});

test.describe('a file that is no profile', () => {
  test.use({ expectedErrors: [/status of 4\d\d/] });
  test('is said to be none', async ({ page }) => {
    await page.goto('/profiles');
    await page
      .getByTestId('profile-file')
      .setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from('{"a": 1}') });
    await expect(page.getByTestId('import-report').locator('.text-danger')).not.toBeEmpty();
  });
});

test('a profile leaves in each format and comes back the same', async ({ page, stack }) => {
  await stack.api('POST', '/profiles', { ...calm, features: calm.features.slice(0, 1) });
  await page.goto('/profiles');
  await choose(page, 'calm', 'Export…');
  const dialog = page.getByRole('dialog', { name: 'Export calm' });
  for (const format of ['p3', 'p1', 'cluster', 'spec']) {
    await dialog.getByLabel('As').selectOption(format);
    await expect(dialog.getByRole('region', { name: 'The document' })).toContainText('{');
  }
  await expectAccessible(page);
  const saving = page.waitForEvent('download');
  await dialog.getByRole('button', { name: 'Save the file' }).click();
  const saved = await (await saving).path();
  await page.keyboard.press('Escape');
  await page.getByTestId('profile-file').setInputFiles(saved);
  await page.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByTestId('profile-row')).toHaveCount(2);
});

test('two profiles are compared, and the comparison is a link', async ({ page, stack }) => {
  const { id: a } = await stack.api<{ id: string }>('POST', '/profiles', calm);
  const { id: b } = await stack.api<{ id: string }>('POST', '/profiles', {
    ...calm,
    name: 'wild',
    features: [{ index: 7, strength: -30, label: 'the sea' }],
  });
  await page.goto(`/profiles?compare=${a},${b}`);
  const table = page.getByTestId('comparison');
  await expect(table.getByRole('row').filter({ hasText: 'the sea' })).toContainText('+12');
  await expect(table.getByRole('row').filter({ hasText: 'the sea' })).toContainText('−30');
  await expect(table.getByRole('row').filter({ hasText: 'music' })).toContainText('not in it');
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await expect(page).toHaveURL(/\/profiles$/);
});

test('what the server steers with now becomes a profile', async ({ page, stack }) => {
  await stack.api('PUT', '/steering', { features: [{ index: 3, strength: 9 }] });
  await page.goto('/profiles');
  await page.getByRole('button', { name: 'Save the active steering…' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('kept');
  await page.getByRole('dialog').getByRole('button', { name: 'Save', exact: true }).click();
  await expect(row(page, 'kept')).toContainText('1 feature');
});
