import { ask, expect, plain, steered, test } from './fixtures.ts';

test.beforeEach(async ({ page, gateway }) => {
  await page.goto(gateway.url);
  await expect(page.getByLabel('Feature to steer')).toHaveValue('the sea, ships and sailing');
});

test('both answers stream at once, the same but for the feature', async ({ page, gateway }) => {
  gateway.play('slow');
  await ask(page);
  await expect(plain(page)).toHaveAttribute('data-status', 'streaming');
  await expect(steered(page)).toHaveAttribute('data-status', 'streaming');
  gateway.play('ready');
  await expect(plain(page)).toHaveAttribute('data-status', 'done');
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  await expect(plain(page)).toContainText('The lighthouse keeper woke before dawn');
  await expect(steered(page)).toContainText('The sea woke before dawn');
  await expect(steered(page).getByTestId('pace')).toContainText('73 tokens');
  const [first, second] = gateway.chats;
  expect(first?.steering).toEqual({ enabled: false });
  expect(second?.steering).toEqual({ sae_id: 'demo', features: [{ index: 12, strength: 31.5 }] });
  expect(first?.messages).toEqual(second?.messages);
});

test('moving the slider answers the steered side again, and only that', async ({ page, gateway }) => {
  await ask(page);
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  await page.getByRole('slider', { name: 'Steering strength' }).focus();
  for (let press = 0; press < 4; press += 1) await page.keyboard.press('PageDown');
  await page.keyboard.press('0');
  await expect(page.getByLabel('Exact strength')).toHaveValue('0');
  await expect(steered(page)).toContainText('Strength 0: the plain model.');
  await expect(steered(page)).toContainText('The lighthouse keeper');
  await page.keyboard.press('Home');
  await expect(page.getByRole('slider')).toHaveAttribute('aria-valuetext', '−80 times the decoder row');
  await expect(steered(page)).toContainText('the desert');
  const steeredAsks = gateway.chats.filter((chat) => chat.steering?.features);
  expect(gateway.chats.length - steeredAsks.length).toBe(1);
  expect(steeredAsks.at(-1)?.steering?.features?.[0]?.strength).toBe(-80);
});

test('the slider follows the pointer and a typed number, within ±300', async ({ page }) => {
  const slider = page.getByRole('slider');
  const box = await slider.boundingBox();
  if (!box) throw new Error('no slider');
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x - 300, box.y + box.height / 2, { steps: 5 });
  await page.mouse.up();
  expect(Number(await slider.getAttribute('aria-valuenow'))).toBeLessThan(0);
  await page.getByLabel('Exact strength').fill('9999');
  await page.getByLabel('Exact strength').press('Enter');
  await expect(page.getByLabel('Exact strength')).toHaveValue('300');
  await page.getByRole('button', { name: 'Back to +31.5' }).click();
  await expect(slider).toHaveAttribute('aria-valuenow', '31.5');
});

test('what the server reports every few seconds never moves the slider', async ({ page }) => {
  await page.getByRole('slider').focus();
  await page.keyboard.press('PageUp');
  await expect(page.getByLabel('Exact strength')).toHaveValue('36.5');
  for (let poll = 0; poll < 2; poll += 1) await page.waitForResponse(/\/api\/steering/);
  await expect(page.getByLabel('Exact strength')).toHaveValue('36.5');
});

test('a feature is found by its label or its index', async ({ page, gateway }) => {
  const picker = page.getByLabel('Feature to steer');
  await picker.click();
  await expect(page.getByRole('option')).toHaveCount(50);
  await expect(page.getByText('50 of 240 · type to narrow')).toBeInViewport({ ratio: 1 });
  await picker.fill('winter');
  await expect(page.getByRole('option').first()).toContainText('winter weather');
  await page.getByRole('option').first().click();
  await expect(picker).toHaveValue('winter weather');
  await picker.click();
  await picker.fill('4000');
  await page.keyboard.press('ArrowDown');
  await expect(page.getByRole('option', { name: 'Feature 4000' })).toBeVisible();
  await page.getByRole('option', { name: 'Feature 4000' }).click();
  await ask(page);
  await expect(steered(page)).toContainText('#4000');
  expect(gateway.chats.at(-1)?.steering?.features?.[0]?.index).toBe(4000);
});

test('a token tells what fired there, by mouse and by keyboard, and can steer', async ({ page, gateway }) => {
  await ask(page);
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  const popover = page.getByTestId('token-popover');
  await steered(page).getByText('ships', { exact: true }).hover();
  await expect(popover).toContainText('the sea, ships and sailing');
  await page.mouse.move(5, 5);
  await expect(popover).toBeHidden();

  await steered(page).getByRole('group').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await expect(popover).toContainText('position 41');
  await page.keyboard.press('Escape');
  await expect(popover).toBeHidden();
  await page.keyboard.press('End');
  await page.keyboard.press('Enter');
  const steer = popover.getByRole('button').first();
  const chosen = Number(/\d+$/.exec(await steer.innerText())?.[0]);
  await steer.click();
  await expect(popover).toBeHidden();
  await expect.poll(() => gateway.chats.at(-1)?.steering?.features?.[0]?.index).toBe(chosen);
});

test('stop ends both requests and keeps what is written', async ({ page, gateway }) => {
  gateway.play('slow');
  await ask(page);
  await expect(plain(page)).toContainText('keeper');
  await page.getByRole('button', { name: 'Stop both answers' }).click();
  await expect(plain(page)).toHaveAttribute('data-status', 'stopped');
  await expect(steered(page)).toHaveAttribute('data-status', 'stopped');
  await expect(plain(page)).toContainText('The lighthouse');
  await expect.poll(() => gateway.aborted()).toBe(2);
});

test('a conversation goes on, each side with its own answers', async ({ page, gateway }) => {
  await ask(page, 'One');
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  await ask(page, 'Two');
  await expect(steered(page).last()).toHaveAttribute('data-status', 'done');
  const [, , third, fourth] = gateway.chats;
  expect(third?.messages.map((message) => message.role)).toEqual(['user', 'assistant', 'user']);
  expect(third?.messages[1]?.content).toContain('lighthouse keeper');
  expect(fourth?.messages[1]?.content).toContain('The sea woke');
  await page.getByRole('button', { name: 'New conversation' }).click();
  await expect(page.getByText('See what one feature does')).toBeVisible();
});

test('temperature and token limit go with the request', async ({ page, gateway }) => {
  await page.getByLabel('Temperature 0').click();
  await page.getByLabel('Most tokens per answer').fill('20');
  await ask(page);
  await expect(plain(page).getByTestId('pace')).toContainText('20 tokens');
  await expect(plain(page).getByTestId('pace')).toContainText('token limit');
  const [first, second] = gateway.chats;
  expect(first).toMatchObject({ temperature: 0.8, max_tokens: 20 });
  expect(first?.seed).toBe(second?.seed);
});

test('an answer is copied as curl, Python or text', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await ask(page);
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  for (const [name, expected] of [
    ['curl', 'curl -N http'],
    ['Python', 'extra_body='],
    ['Text', 'The sea woke before dawn'],
  ] as const) {
    await page.getByRole('button', { name: /the steered answer/ }).click();
    await page.getByRole('menuitem', { name, exact: true }).click();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toContain(expected);
  }
});

test('bytes cut anywhere make the same answer', async ({ page, gateway }) => {
  gateway.play('split-bytes');
  await ask(page);
  await expect(steered(page)).toContainText('he knew them all 🌊 by name.');
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
});

test('without activations the text is plain and nothing breaks', async ({ page, gateway }) => {
  gateway.play('no-activations');
  await ask(page);
  await expect(steered(page)).toHaveAttribute('data-status', 'done');
  await expect(steered(page).locator('[data-token]')).toHaveCount(0);
});
