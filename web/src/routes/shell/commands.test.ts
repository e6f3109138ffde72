import { describe, expect, it, vi } from 'vitest';
import { sampleModel, sampleSae } from '../../../tests/samples/catalogue.ts';
import { commandsFor, matching, type CommandContext } from './commands.ts';

const context = (fields: Partial<CommandContext> = {}): CommandContext => ({
  pages: [
    { href: '/', name: 'Overview', about: '' },
    { href: '/models', name: 'Models', about: 'download, load' },
  ],
  models: [sampleModel({ status: 'ready' }), sampleModel({ id: 'other', name: 'other', status: 'downloading' })],
  saes: [sampleSae(), sampleSae({ id: 'second', attached: false, status: 'ready' })],
  otherTheme: 'light',
  open: vi.fn(),
  actOnModel: vi.fn(),
  actOnSae: vi.fn(),
  toggleTheme: vi.fn(),
  showShortcuts: vi.fn(),
  ...fields,
});

describe('the command palette', () => {
  it('offers what the state allows, and nothing else', () => {
    const names = commandsFor(context()).map(({ name }) => name);
    expect(names).toEqual([
      'Overview',
      'Models',
      'Load HuggingFaceTB/SmolLM2-135M-Instruct',
      'Detach demo',
      'Attach second',
      'Switch to the light theme',
      'Keyboard shortcuts',
    ]);
  });

  it('does what it says', () => {
    const open = vi.fn();
    const actOnSae = vi.fn();
    const actOnModel = vi.fn();
    const commands = commandsFor(context({ open, actOnSae, actOnModel }));
    commands.forEach((command) => command.run());
    expect(open.mock.calls).toEqual([['/'], ['/models']]);
    expect(actOnSae.mock.calls.map(([sae, action]) => [sae.id, action])).toEqual([
      ['demo', 'detach'],
      ['second', 'attach'],
    ]);
    expect(actOnModel.mock.calls.map(([, action]) => action)).toEqual(['load']);
  });

  it('finds by all words, the name’s beginning first', () => {
    const commands = commandsFor(context());
    expect(matching(commands, 'load').map(({ name }) => name)).toEqual([
      'Load HuggingFaceTB/SmolLM2-135M-Instruct',
      'Models',
    ]);
    expect(matching(commands, 'theme switch').map(({ name }) => name)).toEqual(['Switch to the light theme']);
    expect(matching(commands, 'nothing like it')).toEqual([]);
    expect(matching(commands, ' ')).toHaveLength(commands.length);
  });
});
