/**
 * The pictures of docs/dashboard.md: `make screenshots`. SCREENSHOTS names the folder they go to; without it nothing runs.
 * MILLM_E2E_URL names a gateway with the demo loaded, which pages with answers are then pictures of. SCREENSHOTS_ALL=1 takes
 * each page at two widths in both themes, to look at.
 */
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { until, type Stack } from '../stack/stack.ts';
import { ask, plain, steered } from './fixtures.ts';
import { expect, test } from './gateway-fixture.ts';

const folder = process.env.SCREENSHOTS;
const demo = process.env.MILLM_E2E_URL;
// Those of the README's examples, or any that the scripted sidecar has a label for.
const [feature, other] = demo ? [713, 1516] : [7, 31];
const PROMPT = 'What should I do this weekend?';
const patience = { timeout: 240_000 };
const variants = process.env.SCREENSHOTS_ALL
  ? (['dark', 'light'] as const).flatMap((theme) => [1440, 360].map((width) => ({ theme, width })))
  : [{ theme: 'dark' as const, width: 1440 }];

interface Shot {
  name: string;
  path: string;
  /** A model's answers are in it. */
  hasAnswers?: boolean;
  /** What makes the page worth a picture. */
  prepare?: (page: Page, stack: Stack) => Promise<void>;
}

const shots: Shot[] = [
  {
    name: 'overview',
    path: '/',
    hasAnswers: true,
    async prepare(page) {
      const picker = page.getByLabel('Feature to steer');
      await expect(picker).toBeVisible();
      if (demo) {
        await picker.fill('space: the Moon');
        await page.getByRole('option').first().click();
        await page.getByLabel('Exact strength').fill('55');
        await page.getByLabel('Exact strength').press('Enter');
      }
      await askBoth(page);
      await page.evaluate(() => window.scrollTo({ top: 0 }));
    },
  },
  {
    name: 'playground',
    path: `/playground?sae=demo&features=${feature}:${demo ? 55 : 24},${other}:clamp:${demo ? 0 : 12}`,
    hasAnswers: true,
    prepare: askBoth,
  },
  { name: 'models', path: '/models' },
  { name: 'add-model', path: '/models?add=HuggingFaceTB/SmolLM2-360M-Instruct' },
  { name: 'saes', path: '/saes' },
  { name: 'add-saes', path: '/saes?add=example/smollm2-saes' },
  {
    name: 'features',
    path: `/features?sae=demo&index=${feature}`,
    hasAnswers: true,
    async prepare(page) {
      await page.getByRole('button', { name: 'Steer', exact: true }).click();
      for (const cell of await page.getByTestId('strip-cell').all()) {
        await expect(cell).toHaveAttribute('data-status', 'done', patience);
      }
      await expect(page.getByTestId('texts-card')).toContainText('Tokens read', patience);
    },
  },
  {
    name: 'monitor',
    path: `/monitor?sae=demo&features=${feature},${other}`,
    hasAnswers: true,
    async prepare(page) {
      await page.getByRole('button', { name: 'Watch a sample request' }).click();
      await expect(page.getByTestId('feature-statistics')).toContainText('Readings', patience);
      await expect(page.getByRole('button', { name: 'Watch a sample request' })).toBeEnabled(patience);
      await page.waitForTimeout(1_500); // the statistics of the last tokens
    },
  },
  { name: 'profiles', path: '/profiles' },
  { name: 'settings', path: '/settings' },
];

async function askBoth(page: Page): Promise<void> {
  await ask(page, PROMPT);
  for (const answer of [plain(page), steered(page)])
    await expect(answer).toHaveAttribute('data-status', 'done', patience);
}

/** Things that a server in use has. */
async function furnish({ api, fake, url }: Stack): Promise<void> {
  await api('PATCH', '/config', { request_log_enabled: true });
  await api('POST', '/models', { repo_id: 'HuggingFaceTB/SmolLM2-360M-Instruct' });
  await api('POST', '/models', { repo_id: 'example/slow-Qwen3-0.6B' });
  await api('POST', '/saes', { repo_id: 'example/smollm2-saes', path: 'layer_10_residual' });
  const sea = { index: 7, strength: 24, label: 'the sea, ships and sailing' };
  const calm = { index: 31, strength: 12, label: 'words of comfort and care' };
  await api('POST', '/profiles', {
    name: 'seaside',
    description: 'Everything drifts towards the sea.',
    sae_id: 'demo',
    features: [sea],
  });
  const { id } = await api<{ id: string }>('POST', '/profiles', {
    name: 'calm',
    description: 'A quieter, kinder voice.',
    sae_id: 'demo',
    features: [calm, { ...sea, strength: -8 }, { index: 90, op: 'ablate', label: 'exclamation marks' }],
  });
  await api('POST', `/profiles/${id}/activate`);
  for (const content of ['Hello', 'Tell me a story', 'What is the sea?']) {
    await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
        messages: [{ role: 'user', content }],
        max_tokens: 40,
      }),
    });
  }
  const slow = () => [...fake.hub.downloads.values()].find(({ state }) => state === 'running');
  await until(async () => slow() !== undefined);
  fake.hub.advance(slow()?.download_id ?? '', 640_000);
}

// Before any test, so that no page and no gateway is made ready for one that does not run.
test.skip(!folder, 'SCREENSHOTS names no folder');

for (const { theme, width } of variants) {
  for (const shot of shots) {
    test(`${shot.name}, ${theme}, ${width} px`, async ({ page, stack }) => {
      test.setTimeout(300_000);
      const isOfDemo = demo !== undefined && shot.hasAnswers === true;
      if (!isOfDemo) await furnish(stack);
      await page.setViewportSize({ width, height: width === 360 ? 780 : 900 });
      await page.addInitScript((name) => localStorage.setItem('millm:theme', name), theme);
      await page.goto(isOfDemo ? `${demo}${shot.path}` : shot.path);
      await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'online');
      await shot.prepare?.(page, stack);
      await page.waitForLoadState('networkidle').catch(() => undefined);
      await page.waitForTimeout(600);
      const suffix = process.env.SCREENSHOTS_ALL ? `-${theme}-${width}` : '';
      await page.screenshot({ path: join(folder ?? '', `${shot.name}${suffix}.png`), animations: 'disabled' });
    });
  }
}
