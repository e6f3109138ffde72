/** How pages reach the state that the layout composes. */
import { createContext } from 'svelte';
import type { Connection } from './connection.svelte.ts';
import type { Runtime } from './runtime.svelte.ts';
import type { Theme } from './theme.svelte.ts';

export const [useConnection, provideConnection] = createContext<Connection>();
export const [useRuntime, provideRuntime] = createContext<Runtime>();
export const [useTheme, provideTheme] = createContext<Theme>();
