/** How pages reach the state that the layout composes. */
import { createContext } from 'svelte';
import type { Live } from '#lib/live/channels.ts';
import type { Connection } from './connection.svelte.ts';
import type { Metrics } from './metrics.svelte.ts';
import type { Runtime } from './runtime.svelte.ts';
import type { Theme } from './theme.svelte.ts';
import type { Transfers } from './transfers.svelte.ts';
import type { Undoable } from './undoable.svelte.ts';

export const [useConnection, provideConnection] = createContext<Connection>();
export const [useRuntime, provideRuntime] = createContext<Runtime>();
export const [useTheme, provideTheme] = createContext<Theme>();
export const [useLive, provideLive] = createContext<Live>();
export const [useMetrics, provideMetrics] = createContext<Metrics>();
export const [useTransfers, provideTransfers] = createContext<Transfers>();
export const [useUndoable, provideUndoable] = createContext<Undoable>();
