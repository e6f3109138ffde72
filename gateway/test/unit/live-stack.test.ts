// The laws of live monitoring on a real stack, where MILLM_LIVE_URL names one: its model is loaded, its SAE attached.
import { beforeAll, describe, expect, it } from 'vitest';
import { asInline, chatInline, connectLive, expectSameAsInline, subscribe } from '../live-client.ts';
import { until } from '../build-test-app.ts';

/** A loaded machine without a GPU is slow, and that is no failure. */
const patience = 300_000;
const url = process.env['MILLM_LIVE_URL'] ?? '';

describe.skipIf(url === '')('a real stack', { timeout: 600_000 }, () => {
  let model = '';
  let sae_id = '';
  beforeAll(async () => {
    const { data: models } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    const { data: saes } = (await (await fetch(`${url}/api/saes`)).json()) as {
      data: { id: string; attached: boolean }[];
    };
    model = models[0]?.id ?? '';
    sae_id = saes.find(({ attached }) => attached)?.id ?? '';
  });
  const say = (content: string, more: object = {}) => ({
    model,
    messages: [{ role: 'user', content }],
    temperature: 0,
    max_tokens: 24,
    ...more,
  });
  const unique = (name: string) => `${name}-${Date.now()}`;

  it('shows a subscriber exactly what the request answers inline: strongest, chosen, and both', async () => {
    for (const ask of [
      { top_k: 8, features: [] },
      { top_k: 0, features: [7, 1_234, 3] },
      { top_k: 4, features: [1_234, 7] },
    ]) {
      const client = await connectLive(url, '/monitor');
      await subscribe(client, { sae_id, ...ask });
      const inline = await expectSameAsInline(
        url,
        client,
        { sae_id, ...ask },
        say('Tell me about the sea.', { n: 2, temperature: 0.8, seed: 3 }),
        unique('same'),
      );
      expect(inline[0]?.length).toBeGreaterThan(5);
      client.socket.disconnect();
    }
  });

  it('is the same for several requests at once, and for those who watch something else', async () => {
    const [a, b] = [await connectLive(url, '/monitor'), await connectLive(url, '/monitor')];
    const [askA, askB] = [
      { sae_id, top_k: 8, features: [] },
      { sae_id, top_k: 0, features: [7, 11, 13] },
    ];
    await subscribe(a, askA);
    await subscribe(b, askB);
    const prompts = ['Count to ten.', 'What is rain?', 'Write a poem about trees.', 'Name three colours.'];
    await Promise.all(
      prompts.map((prompt, n) => {
        const [client, ask] = n % 2 === 0 ? [a, askA] : [b, askB];
        return expectSameAsInline(url, client, ask, say(prompt), unique(`many-${n}`), 3);
      }),
    );
    expect(a.messages().at(-1)?.dropped).toBe(0);
  });

  it('gives who joins in the middle a snapshot, and then everything after it', async () => {
    const early = await connectLive(url, '/monitor');
    await subscribe(early, { sae_id, top_k: 4 });
    const id = unique('late');
    const running = chatInline(
      url,
      say('Write a long story about a lighthouse.', { max_tokens: 40, ignore_eos: true }),
      id,
    );
    await until(() => asInline(early.frames(), id, 0).length > 10, patience);
    const late = await connectLive(url, '/monitor');
    await subscribe(late, { sae_id, top_k: 4 });
    await running;
    const [snapshot] = late.snapshots();
    const joined = () => asInline([...(snapshot?.frames ?? []), ...late.frames()], id, 0);
    await until(() => asInline(early.frames(), id, 0).length >= 39, patience);
    await until(() => joined().length >= asInline(early.frames(), id, 0).length, patience);
    expect(joined()).toEqual(asInline(early.frames(), id, 0));
    expect(asInline(snapshot?.frames ?? [], id, 0).length).toBeGreaterThan(5);
  });
});
