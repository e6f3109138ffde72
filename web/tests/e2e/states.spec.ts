import { ask, expect, plain, steered, test } from './fixtures.ts';

test('the status names model, SAE, memory and queue', async ({ page, gateway }) => {
  await page.goto(gateway.url);
  await expect(page.getByTestId('model-card')).toContainText('SmolLM2-135M-Instruct');
  await expect(page.getByTestId('model-card')).toContainText('135M');
  await expect(page.getByTestId('sae-card')).toContainText('blocks.15.hook_resid_post');
  await expect(page.getByTestId('sae-card')).toContainText('4,096');
  await expect(page.getByTestId('server-card')).toContainText('1.24 GB');
  await expect(page.getByTestId('connection')).toHaveText(/Connected/);
});

test('without a model the page says what to do next', async ({ page, gateway }) => {
  gateway.play('no-model');
  await page.goto(gateway.url);
  await expect(page.getByRole('heading', { name: 'First, a model' })).toBeVisible();
  await expect(page.getByText('make demo')).toBeVisible();
  await expect(page.getByLabel('Your message')).toBeDisabled();
});

test('a loading model shows how far it is, and the page wakes when it is ready', async ({ page, gateway }) => {
  gateway.play('loading-model');
  await page.goto(gateway.url);
  await expect(page.getByTestId('model-card')).toContainText('42 %');
  await expect(page.getByLabel('Your message')).toHaveAttribute('placeholder', 'The model is loading…');
  gateway.play('ready');
  await expect(page.getByLabel('Your message')).toBeEnabled({ timeout: 10_000 });
});

test('while nothing has answered yet the cards keep their places', async ({ page, gateway }) => {
  gateway.play('silent');
  await page.goto(gateway.url);
  await expect(page.getByTestId('model-card')).toContainText('Loading');
  const before = await page.getByTestId('model-card').boundingBox();
  gateway.play('ready');
  await expect(page.getByTestId('model-card')).toContainText('SmolLM2', { timeout: 12_000 });
  const after = await page.getByTestId('model-card').boundingBox();
  expect(Math.abs((after?.height ?? 0) - (before?.height ?? 0))).toBeLessThanOrEqual(3);
});

test('without an SAE one can still chat', async ({ page, gateway }) => {
  gateway.play('no-sae');
  await page.goto(gateway.url);
  await expect(page.getByText('No SAE is attached, so there is nothing to steer with.')).toBeVisible();
  await ask(page);
  await expect(plain(page)).toHaveAttribute('data-status', 'done');
  await expect(steered(page)).toHaveCount(0);
  expect(gateway.chats).toHaveLength(1);
});

test('when the features cannot be listed, one sentence and a way to try again', async ({ page, gateway }) => {
  gateway.play('no-features');
  await page.goto(gateway.url);
  await expect(page.getByText('Something went wrong on the server.')).toBeVisible();
  gateway.play('ready');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByLabel('Feature to steer')).toHaveValue('the sea, ships and sailing');
});

test('losing the gateway is said, and finding it again too', async ({ page, gateway }) => {
  await page.goto(gateway.url);
  const connection = page.getByTestId('connection');
  await expect(connection).toHaveAttribute('data-phase', 'online');
  await expect(page.getByTestId('model-card')).toContainText('Loaded');
  gateway.play('down');
  await expect(connection).toHaveAttribute('data-phase', 'reconnecting', { timeout: 10_000 });
  await expect(page.getByTestId('model-card')).toContainText('Last known');
  await expect(connection).toHaveAttribute('data-phase', 'offline', { timeout: 10_000 });
  await expect(page.getByLabel('Your message')).toHaveAttribute('placeholder', 'The server cannot be reached');
  gateway.play('ready');
  await page.getByRole('button', { name: 'Try now' }).click();
  await expect(connection).toHaveAttribute('data-phase', 'online');
  await expect(page.getByTestId('model-card')).toContainText('Loaded');
});

test('a restarting model process is not an outage', async ({ page, gateway }) => {
  await page.goto(gateway.url);
  await expect(page.getByTestId('model-card')).toContainText('Loaded');
  gateway.play('degraded');
  await expect(page.getByTestId('connection')).toHaveText(/Model process restarting/, { timeout: 10_000 });
});

for (const [scenario, sentence] of [
  ['queue-full', 'The server is busy; its queue is full.'],
  ['error-late', 'The engine failed while answering.'],
  ['cut', 'The answer was cut off before it ended.'],
] as const) {
  test(`${scenario}: the answer's place tells what happened, and trying again works`, async ({ page, gateway }) => {
    await page.goto(gateway.url);
    await expect(page.getByLabel('Feature to steer')).toBeVisible();
    gateway.play(scenario);
    await ask(page);
    await expect(plain(page)).toContainText(sentence);
    await expect(steered(page)).toContainText(sentence);
    gateway.play('ready');
    await plain(page).getByRole('button', { name: 'Try again' }).click();
    await steered(page).getByRole('button', { name: 'Try again' }).click();
    await expect(plain(page)).toHaveAttribute('data-status', 'done');
    await expect(steered(page)).toHaveAttribute('data-status', 'done');
  });
}

test('an unknown page says so', async ({ page, gateway }) => {
  await page.goto(`${gateway.url}/nowhere`);
  await expect(page.getByText('There is no such page.')).toBeVisible();
  await page.getByRole('link', { name: 'Go to the overview' }).click();
  await expect(page.getByTestId('model-card')).toBeVisible();
});
