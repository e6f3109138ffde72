/** What must work on the real stack: MILLM_E2E_URL names a gateway with the demo loaded. */
import { readFileSync } from 'node:fs';
import type { Page, Request } from '@playwright/test';
import { ask, expect, plain, steered, test } from './fixtures.ts';
import { collectErrors } from './page-errors.ts';

const url = process.env.MILLM_E2E_URL ?? '';
const PROMPT = 'What should I do this weekend?';
/** Measured with the demo: enough to tell the answers apart, few enough for a busy machine. */
const TOKENS = 24;
const patience = { timeout: 120_000 };

// They share the one server, so they take turns.
test.describe.configure({ mode: 'default' });
test.skip(!url, 'MILLM_E2E_URL names no running stack');

test('critical path: an answer streams, the slider moves, the steered answer differs', async ({ page }) => {
  test.setTimeout(300_000); // a busy two-core machine writes a token every few seconds
  await page.goto(url);
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

test('from nothing loaded to a profile that comes back as a file and steers as before', async ({ page }) => {
  test.setTimeout(300_000);
  const errors = collectErrors(page);

  await test.step('the SAE leaves, the model leaves, and both come back', async () => {
    await page.goto(`${url}/saes`);
    const sae = page.getByTestId('sae-row').filter({ hasText: 'demo' });
    await sae.getByRole('button', { name: 'Detach' }).click();
    await expect(sae).toHaveAttribute('data-status', 'ready', patience);
    await go(page, 'Models');
    const model = page.getByTestId('model-row').filter({ hasText: 'SmolLM2' });
    await model.getByRole('button', { name: 'Unload' }).click();
    await expect(model).toHaveAttribute('data-status', 'ready', patience);
    await model.getByRole('button', { name: 'Load' }).click();
    await expect(model).toHaveAttribute('data-status', 'loaded', patience);
    await go(page, 'SAEs');
    await sae.getByRole('button', { name: 'Attach…' }).click();
    await expect(page.getByTestId('compatibility')).toContainText('It fits the loaded model.', patience);
    await page.getByRole('dialog').getByRole('button', { name: 'Attach', exact: true }).click();
    await expect(sae).toHaveAttribute('data-status', 'attached', patience);
  });

  const before = await test.step('a steered answer streams beside the default one and differs from it', async () => {
    await go(page, 'Playground');
    await page.getByLabel('Add a feature').fill('planets');
    await page.getByRole('list', { name: 'Features found' }).getByRole('button', { name: '#713' }).click();
    const strength = page.getByTestId('steered-feature').getByLabel(/^strength of/);
    await strength.fill('55');
    await strength.press('Tab');
    return askBoth(page);
  });

  const file = await test.step('it is saved as a profile, and the profile as a file', async () => {
    await page.getByRole('button', { name: 'Save as profile…' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill('spacefarer');
    await page.getByRole('dialog').getByRole('button', { name: 'Save', exact: true }).click();
    await expect(page.getByRole('dialog')).toHaveCount(0);
    await go(page, 'Profiles');
    await choose(page, 'Export…');
    const saving = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save the file' }).click();
    const text = readFileSync(await (await saving).path(), 'utf8');
    await page.keyboard.press('Escape');
    return text;
  });

  await test.step('the profile is deleted, dropped back in, and put to use for everybody', async () => {
    await choose(page, 'Delete');
    await expect(profile(page)).toHaveCount(0);
    await page.reload(); // the moment for undoing is over
    await expect(page.getByText('No profile yet')).toBeVisible();
    const dropped = await page.evaluateHandle((content) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([content], 'spacefarer.json', { type: 'application/json' }));
      return transfer;
    }, file);
    await page.getByTestId('drop-zone').dispatchEvent('drop', { dataTransfer: dropped });
    await expect(page.getByTestId('import-report')).toContainText('1 feature for demo');
    await page.getByRole('button', { name: 'Done' }).click();
    await profile(page).getByRole('button', { name: 'Activate' }).click();
    await expect(profile(page)).toHaveAttribute('data-active', 'true');
  });

  await test.step('it steers as before: on the page, and for a client that asks for nothing', async () => {
    await page.goto(`${url}/playground`);
    await page.getByLabel('Load a profile').selectOption('spacefarer');
    await expect(page.getByTestId('steered-feature')).toHaveAttribute('data-index', '713');
    expect(await askBoth(page)).toEqual(before);
    expect(await completion(page)).toBe(before.steered);
    await go(page, 'Profiles');
    await profile(page).getByRole('button', { name: 'Deactivate' }).click();
    await expect(profile(page)).toHaveAttribute('data-active', 'false');
    expect(await completion(page)).toBe(before.plain);
    await choose(page, 'Delete');
    await page.reload();
  });

  expect(errors).toEqual([]);
});

const profile = (page: Page) => page.getByTestId('profile-row').filter({ hasText: 'spacefarer' });

async function go(page: Page, name: string) {
  await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
  await expect(page.getByRole('heading', { level: 1, name })).toBeVisible();
}

async function choose(page: Page, item: string) {
  await page.getByRole('button', { name: 'More for spacefarer' }).click();
  await page.getByRole('menuitem', { name: item }).click();
}

/** Both answers to the one question; they are on their way at the same time. */
async function askBoth(page: Page): Promise<{ plain: string; steered: string }> {
  await page.getByLabel('Most tokens per answer').fill(String(TOKENS));
  await page.getByLabel('Most tokens per answer').press('Tab');
  // Short answers may be over between two looks at the page, so that both run at once is seen at their requests.
  let running = 0;
  let most = 0;
  const isAnswer = (request: Request) => request.url().endsWith('/v1/chat/completions');
  page.on('request', (request) => {
    if (isAnswer(request)) most = Math.max(most, (running += 1));
  });
  page.on('requestfinished', (request) => {
    if (isAnswer(request)) running -= 1;
  });
  await ask(page, PROMPT);
  await expect(plain(page)).toHaveAttribute('data-status', 'done', patience);
  await expect(steered(page)).toHaveAttribute('data-status', 'done', patience);
  expect(most, 'answers on their way at once').toBe(2);
  const [text, steeredText] = [
    await plain(page).getByRole('group').innerText(),
    await steered(page).getByRole('group').innerText(),
  ];
  expect(text.trim().length).toBeGreaterThan(20);
  expect(steeredText).not.toBe(text);
  return { plain: text, steered: steeredText };
}

/** As any OpenAI client asks, with no word of steering. */
async function completion(page: Page): Promise<string> {
  const { data } = (await (await page.request.get(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  const response = await page.request.post(`${url}/v1/chat/completions`, {
    data: {
      model: data[0]?.id,
      messages: [{ role: 'user', content: PROMPT }],
      temperature: 0,
      max_tokens: TOKENS,
    },
    ...patience,
  });
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content ?? '';
}
