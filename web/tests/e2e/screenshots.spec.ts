/**
 * The pictures of docs/dashboard.md: `make screenshots`. SCREENSHOTS names the folder they go to; without it nothing runs.
 * SCREENSHOTS_ALL=1 takes each page at two widths in both themes, to look at.
 */
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import type { Stack } from '../stack/stack.ts';
import { expect, test } from './gateway-fixture.ts';

const folder = process.env.SCREENSHOTS;
const variants = process.env.SCREENSHOTS_ALL
  ? (['dark', 'light'] as const).flatMap((theme) => [1440, 360].map((width) => ({ theme, width })))
  : [{ theme: 'dark' as const, width: 1440 }];

interface Shot {
  name: string;
  path: string;
  /** What makes the page worth a picture. */
  prepare?: (page: Page, stack: Stack) => Promise<void>;
}

const shots: Shot[] = [
  {
    name: 'overview',
    path: '/',
    async prepare(page) {
      await page.getByLabel('Your message').fill('Tell me about the sea.');
      await page.getByLabel('Your message').press('Enter');
      await expect(page.getByTestId('answer-plain')).toHaveAttribute('data-status', 'done');
      await page.evaluate(() => window.scrollTo({ top: 0 }));
    },
  },
  {
    name: 'playground',
    path: '/playground?sae=demo&features=7:24,31:clamp:12',
    async prepare(page) {
      await page.getByLabel('Your message').fill('Tell me about the sea.');
      await page.getByLabel('Your message').press('Enter');
      await expect(page.getByTestId('answer-plain')).toHaveAttribute('data-status', 'done');
      await expect(page.getByTestId('answer-steered')).toHaveAttribute('data-status', 'done');
    },
  },
  { name: 'models', path: '/models' },
  { name: 'add-model', path: '/models?add=HuggingFaceTB/SmolLM2-360M-Instruct' },
  { name: 'saes', path: '/saes' },
  { name: 'add-saes', path: '/saes?add=example/smollm2-saes' },
  {
    name: 'features',
    path: '/features?sae=demo&index=7',
    async prepare(page) {
      await page.getByRole('button', { name: 'Steer', exact: true }).click();
      await expect(page.getByTestId('strip-cell').last()).toHaveAttribute('data-status', 'done');
      await expect(page.getByTestId('texts-card')).toContainText('Tokens read');
    },
  },
  {
    name: 'monitor',
    path: '/monitor?sae=demo&features=40,31',
    async prepare(page) {
      await page.getByRole('button', { name: 'Watch a sample request' }).click();
      await expect(page.getByTestId('feature-statistics')).toContainText('Readings');
      await page.waitForTimeout(1_500); // the statistics of the last tokens
    },
  },
  { name: 'profiles', path: '/profiles' },
  { name: 'settings', path: '/settings' },
];

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
  const slow = [...fake.hub.downloads.values()].find(({ repo_id }) => repo_id.includes('slow'));
  if (slow) fake.hub.advance(slow.download_id, 640_000);
}

for (const { theme, width } of variants) {
  for (const shot of shots) {
    test(`${shot.name}, ${theme}, ${width} px`, async ({ page, stack }) => {
      test.skip(!folder, 'SCREENSHOTS names no folder');
      await furnish(stack);
      await page.setViewportSize({ width, height: width === 360 ? 780 : 900 });
      await page.addInitScript((name) => localStorage.setItem('millm:theme', name), theme);
      await page.goto(shot.path);
      await expect(page.getByTestId('connection')).toHaveAttribute('data-phase', 'online');
      await shot.prepare?.(page, stack);
      await page.waitForLoadState('networkidle').catch(() => undefined);
      await page.waitForTimeout(600);
      const suffix = process.env.SCREENSHOTS_ALL ? `-${theme}-${width}` : '';
      await page.screenshot({ path: join(folder ?? '', `${shot.name}${suffix}.png`), animations: 'disabled' });
    });
  }
}
