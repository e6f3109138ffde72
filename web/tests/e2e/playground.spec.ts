import type { Page } from '@playwright/test';
import { test as scenario } from './fixtures.ts';
import { expect, expectAccessible, expectNoOverflow, test } from './gateway-fixture.ts';

const plain = (page: Page) => page.getByTestId('answer-plain').last();
const steered = (page: Page) => page.getByTestId('answer-steered').last();

async function ask(page: Page, text: string) {
  await page.getByLabel('Your message').fill(text);
  await page.getByLabel('Your message').press('Enter');
}

async function answered(page: Page) {
  await expect(plain(page)).toHaveAttribute('data-status', 'done');
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
}

test('a feature is added, both answers stream, tokens tell, and the steering becomes a profile', async ({
  page,
  stack,
}) => {
  await page.goto('/playground');
  await page.getByLabel('Add a feature').fill('7');
  await page.getByRole('list', { name: 'Features found' }).getByRole('button').first().click();
  const feature = page.getByTestId('steered-feature');
  await feature.getByLabel(/^strength of/).fill('20');
  await feature.getByLabel(/^strength of/).press('Tab');
  await ask(page, 'Tell me about the sea.');
  await answered(page);
  await expect(steered(page)).toContainText('Steered by');
  await expect(plain(page)).not.toContainText('Steered by');
  const index = Number(await feature.getAttribute('data-index'));
  await expect(page).toHaveURL(new RegExp(`sae=demo&features=${index}:20$`));

  // The heat map: the feature was read at every token, so each is tinted.
  const token = steered(page).locator('[data-token]').first();
  await expect(token).toHaveAttribute('style', /rgb\(var\(--heat\)/);
  await token.click();
  const popover = page.getByTestId('token-popover');
  await expect(popover.getByTestId('logprobs')).toContainText('88 %');
  await expectAccessible(page);
  // Another feature, taken from the token, joins in; the answer is steered anew.
  await popover
    .getByRole('button', { name: /^Steer/ })
    .first()
    .click();
  await expect(feature).toHaveCount(2);
  await expect(steered(page)).toContainText(', 1 more');
  await answered(page);
  await page.getByText(/Show the prompt's tokens/).click();
  await expect(page.getByTestId('prompt-tokens').locator('[data-token]').first()).toBeVisible();

  await page.getByRole('button', { name: 'Save as profile…' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('seaside');
  await page.getByRole('dialog').getByRole('button', { name: 'Save', exact: true }).click();
  await expect(page.getByRole('dialog')).toHaveCount(0);
  const [saved] = await stack.api<{ id: string; name: string }[]>('GET', '/profiles');
  const { features } = await stack.api<{ features: { strength: number }[] }>('GET', `/profiles/${saved?.id}`);
  expect(saved?.name).toBe('seaside');
  expect(features).toHaveLength(2);
  expect(features[0]?.strength).toBe(20);
});

test('who knows no feature begins with one that is known to work, at its measured strength', async ({ page }) => {
  await page.goto('/playground');
  const starters = page.getByRole('list', { name: 'Features to begin with' });
  await expect(starters.getByRole('button')).toHaveCount(2);
  await starters.getByRole('button').first().click();
  const feature = page.getByTestId('steered-feature');
  await expect(feature).toHaveAttribute('data-index', '40');
  await expect(feature.getByLabel(/^strength of/)).toHaveValue('24');
  await expect(starters).toHaveCount(0);
  await page.goto('/features?sae=demo&index=13');
  await expect(page.getByLabel('Full strength')).toHaveValue('55');
});

test('a link opens with its steering, under its operation and condition', async ({ page, stack }) => {
  await page.goto('/playground?sae=demo&features=13:55,7:clamp:4');
  const features = page.getByTestId('steered-feature');
  await expect(features).toHaveCount(2);
  await expect(features.first().getByLabel(/^strength of/)).toHaveValue('55');
  await features
    .first()
    .getByRole('button', { name: /^When and where/ })
    .click();
  await page.getByLabel('Only when another feature fires').click();
  await page.getByLabel(/^Activation of the condition/).fill('2');
  await page.getByLabel(/^Activation of the condition/).press('Tab');
  await page.getByLabel('Acts in').selectOption('generated');
  await expectAccessible(page);
  await ask(page, 'Hello');
  await answered(page);
  const sent = JSON.stringify(stack.fake.requests);
  expect(sent).toContain('"above":2');
  expect(sent).toContain('"phase":"generated"');
  await expect(page).toHaveURL(/rules=/);
  await page.reload();
  await expect(features).toHaveCount(2);
  await expect(page).toHaveURL(/rules=/);
});

test('a conversation is kept, comes back and is forgotten', async ({ page }) => {
  await page.goto('/playground?sae=demo&features=13:55');
  await ask(page, 'Remember me');
  await answered(page);
  const text = await steered(page).getByRole('group').innerText();
  await page.getByRole('button', { name: 'New conversation' }).click();
  await expect(page.getByTestId('answer-plain')).toHaveCount(0);
  await page.goto('/playground');
  await page.getByRole('button', { name: 'Conversations' }).click();
  await page.getByRole('button', { name: /^Remember me/ }).click();
  await expect(steered(page).getByRole('group')).toHaveText(text);
  await expect(page.getByTestId('steered-feature')).toHaveCount(1);
  await page.getByRole('button', { name: 'Conversations' }).click();
  await page.getByRole('button', { name: 'Delete “Remember me”' }).click();
  await expect(page.getByText('None yet.')).toBeVisible();
});

test('a profile is loaded, and on a phone the steering is a sheet', async ({ page, stack }) => {
  await stack.api('POST', '/profiles', {
    name: 'calm',
    sae_id: 'demo',
    intensity: 0.5,
    features: [{ index: 7, op: 'ablate', label: 'the sea' }],
  });
  await page.setViewportSize({ width: 360, height: 780 });
  await page.goto('/playground');
  await page.getByRole('button', { name: /^Steering/ }).click();
  const sheet = page.getByRole('dialog', { name: 'Steering and sampling' });
  await sheet.getByLabel('Load a profile').selectOption('calm');
  await expect(sheet.getByTestId('steered-feature')).toContainText('ablate');
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await ask(page, 'Hello');
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  await expect(steered(page)).toBeVisible();
  await expect(plain(page)).toBeHidden();
  await expectNoOverflow(page);
  await expect(page).toHaveURL(/features=7:ablate&intensity=0.5$/);
});

test('without an SAE one chats, and tokens still tell how likely they were', async ({ page, stack }) => {
  await stack.api('POST', '/saes/demo/detach');
  await page.goto('/playground');
  await expect(page.getByText('No SAE is attached')).toBeVisible();
  await ask(page, 'Hello');
  await expect(plain(page)).toHaveAttribute('data-status', 'done');
  await plain(page).locator('[data-token]').first().click();
  await expect(page.getByTestId('logprobs')).toBeVisible();
  await expect(page.getByTestId('answer-steered')).toHaveCount(0);
});

scenario('/playground without a model says where one comes from', async ({ page, gateway }) => {
  gateway.play('no-model');
  await page.goto(`${gateway.url}/playground`);
  await expect(page.getByRole('heading', { name: 'First, a model' })).toBeVisible();
  await expect(page.getByLabel('Your message')).toBeDisabled();
  await expect(page.getByLabel('Your message')).toHaveAttribute('placeholder', 'Add a model first');
});

scenario(
  '/playground without its server says so, claims nothing else, and wakes by itself',
  async ({ page, gateway }) => {
    gateway.play('down');
    await page.goto(`${gateway.url}/playground`);
    await expect(page.getByRole('heading', { name: 'miLLM cannot be reached' })).toBeVisible({ timeout: 20_000 });
    await expect(page.getByText('No SAE is attached')).toHaveCount(0);
    await expect(page.getByLabel('Your message')).toBeDisabled();
    gateway.play('ready');
    await expect(page.getByLabel('Your message')).toBeEnabled({ timeout: 20_000 });
    await expect(page.getByLabel('Add a feature')).toBeVisible();
  },
);

scenario('/playground keeps answers and what was typed while its server is away', async ({ page, gateway }) => {
  await page.goto(`${gateway.url}/playground?sae=demo&features=12:30`);
  await ask(page, 'Hello');
  await answered(page);
  const text = await steered(page).getByRole('group').innerText();
  await page.getByLabel('Your message').fill('And then?');
  gateway.play('down');
  await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'offline', { timeout: 20_000 });
  await expect(page.getByRole('button', { name: 'Send' })).toBeDisabled();
  await page.getByLabel('Your message').press('Enter'); // nothing is sent into the void
  expect(await steered(page).getByRole('group').innerText()).toBe(text);
  gateway.play('ready');
  await expect(page.getByRole('button', { name: 'Send' })).toBeEnabled({ timeout: 20_000 });
  await expect(page.getByLabel('Your message')).toHaveValue('And then?');
  await page.getByLabel('Your message').press('Enter');
  await expect(page.getByTestId('answer-steered')).toHaveCount(2);
  await answered(page);
});
