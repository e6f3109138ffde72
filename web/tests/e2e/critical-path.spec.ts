/** The one flow that must work on the real stack: MILLM_E2E_URL names a gateway with the demo loaded. */
import { ask, expect, plain, steered, test } from './fixtures.ts';

const url = process.env.MILLM_E2E_URL;

test('critical path: an answer streams, the slider moves, the steered answer differs', async ({ page }) => {
  test.skip(!url, 'MILLM_E2E_URL names no running stack');
  test.setTimeout(600_000);
  const patience = { timeout: 240_000 }; // a busy two-core machine writes a token every few seconds;

  await page.goto(url ?? '');
  await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'online', patience);
  await expect(page.getByTestId('model-card')).toContainText('SmolLM2', patience);
  await expect(page.getByTestId('sae-card')).toContainText('Attached', patience);
  await expect(page.getByLabel('Feature to steer')).toBeVisible(patience);
  await page.getByLabel('Most tokens per answer').fill('12');

  // Strength 0 is the plain model, to the letter.
  await page.getByLabel('Exact strength').fill('0');
  await page.getByLabel('Exact strength').press('Enter');
  await ask(page, 'Tell me about your day.');
  await expect(plain(page)).toHaveAttribute('data-status', /streaming|done/, patience);
  await expect(plain(page)).toHaveAttribute('data-status', 'done', patience);
  await expect(steered(page)).toHaveAttribute('data-status', 'done', patience);
  const answer = plain(page).getByRole('group');
  const steeredAnswer = steered(page).getByRole('group');
  const before = await answer.innerText();
  expect(before.trim().length).toBeGreaterThan(10);
  expect(await steeredAnswer.innerText()).toBe(before);

  // To the end of the slider: one and a half times the most the feature ever fires.
  await page.getByRole('slider', { name: 'Steering strength' }).press('End');
  await expect(steered(page)).toHaveAttribute('data-status', /waiting|streaming/, patience);
  await expect(steered(page)).toHaveAttribute('data-status', 'done', patience);
  expect(await steeredAnswer.innerText()).not.toBe(before);
  expect(await answer.innerText()).toBe(before);
});
