/** What the command palette offers for the state the server is in, and which of it matches what was typed. Pure. */
import type { Model, Sae } from '#lib/api/types.ts';

export interface Command {
  id: string;
  group: string;
  name: string;
  about: string;
  run: () => void;
}

export interface CommandContext {
  pages: { href: string; name: string; about: string }[];
  models: Model[];
  saes: Sae[];
  otherTheme: 'dark' | 'light';
  open: (href: string) => void;
  actOnModel: (model: Model, action: 'load' | 'unload') => void;
  actOnSae: (sae: Sae, action: 'attach' | 'detach') => void;
  toggleTheme: () => void;
  showShortcuts: () => void;
}

export function commandsFor(context: CommandContext): Command[] {
  const { pages, models, saes, otherTheme } = context;
  return [
    ...pages.map(({ href, name, about }) => ({
      id: `page:${href}`,
      group: 'Pages',
      name,
      about,
      run: () => context.open(href),
    })),
    ...models.flatMap((model): Command[] => {
      const action = model.status === 'loaded' ? 'unload' : model.status === 'ready' ? 'load' : null;
      if (!action) return [];
      return [
        {
          id: `model:${model.id}`,
          group: 'Models',
          name: `${action === 'load' ? 'Load' : 'Unload'} ${model.name}`,
          about: model.status,
          run: () => context.actOnModel(model, action),
        },
      ];
    }),
    ...saes.flatMap((sae): Command[] => {
      if (sae.status !== 'ready' && !sae.attached) return [];
      const action = sae.attached ? 'detach' : 'attach';
      return [
        {
          id: `sae:${sae.id}`,
          group: 'SAEs',
          name: `${action === 'attach' ? 'Attach' : 'Detach'} ${sae.id}`,
          about: sae.hook ?? '',
          run: () => context.actOnSae(sae, action),
        },
      ];
    }),
    {
      id: 'theme',
      group: 'This page',
      name: `Switch to the ${otherTheme} theme`,
      about: '',
      run: context.toggleTheme,
    },
    { id: 'shortcuts', group: 'This page', name: 'Keyboard shortcuts', about: '?', run: context.showShortcuts },
  ];
}

/** Every word typed is somewhere in the name, group or description; what begins with the first one comes first. */
export function matching(commands: Command[], typed: string): Command[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const [first] = words;
  if (!first) return commands;
  const found = commands.filter(({ name, about, group }) => {
    const text = `${name} ${about} ${group}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const rank = ({ name }: Command) => {
    const at = name.toLowerCase().indexOf(first);
    return at === 0 ? 0 : at > 0 ? 1 : 2;
  };
  return found.toSorted((a, b) => rank(a) - rank(b));
}
