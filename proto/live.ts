// Socket.IO event maps, built only from generated types.
import type { components } from './generated/inference.d.ts';

type Schemas = components['schemas'];

export interface SystemEvents {
  'system:metrics': (metrics: { queue: Schemas['QueueState']; memory: Schemas['MemoryState'] }) => void;
}
