/**
 * The wire shapes the dashboard reads, as `/api` and `/v1` send them (snake_case).
 * Fields that a server may leave out are optional here, and the page shows less.
 */

export interface Health {
  status: string;
  version?: string;
  uptime_seconds?: number;
}

export type ModelStatus = 'downloading' | 'ready' | 'loading' | 'loaded' | 'error';

export interface Model {
  id: string;
  name: string;
  repo_id: string;
  architecture?: string | null;
  parameters?: number | null;
  quantization?: string | null;
  dtype?: string | null;
  device?: string | null;
  context_length?: number | null;
  size_bytes?: number | null;
  memory_bytes?: number | null;
  status: ModelStatus;
  progress?: number | null;
  locked?: boolean;
  error?: string | null;
}

export interface Sae {
  id: string;
  repo_id?: string | null;
  architecture?: string | null;
  d_in?: number | null;
  d_sae?: number | null;
  hook?: string | null;
  layer?: number | null;
  model?: string | null;
  attached: boolean;
  status?: string;
  size_bytes?: number | null;
}

export interface FeatureSummary {
  index: number;
  label: string | null;
  density?: number | null;
  max_activation?: number | null;
  /** A strength known to change answers coherently, where somebody measured one. */
  suggested_strength?: number | null;
}

export interface TokenWeight {
  token: string;
  value: number;
}

export interface FeatureDetail extends FeatureSummary {
  promoted?: TokenWeight[];
  suppressed?: TokenWeight[];
  nearest?: { index: number; cosine: number; label?: string | null }[];
}

export interface Page<T> {
  items: T[];
  total: number;
  skip: number;
  limit: number;
}

export interface SteeredFeature {
  index: number;
  strength?: number;
  sae_id?: string | null;
}

export interface SteeringConfiguration {
  enabled?: boolean;
  intensity?: number;
  sae_id?: string | null;
  features?: SteeredFeature[];
}

export interface QueueState {
  running: number;
  waiting: number;
  slots_total: number;
  slots_free?: number;
  tokens_per_second?: number;
}

export interface MemoryState {
  device?: string;
  used_bytes: number;
  total_bytes: number;
  model_bytes?: number;
  sae_bytes?: number;
  kv_bytes?: number;
}

export interface SystemState {
  queue?: QueueState | null;
  memory?: MemoryState | null;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface ActivationEntry {
  position: number;
  token_id: number;
  token: string;
  sae_id: string;
  features: { index: number; value: number; label?: string | null }[];
}

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  temperature?: number;
  seed?: number;
  max_tokens?: number;
  steering?: SteeringConfiguration | null;
  activations?: { sae_id: string; top_k?: number; features?: number[] };
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}
