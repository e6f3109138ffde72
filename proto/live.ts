// Socket.IO namespaces, event by event, built only from generated types. Every channel begins with a snapshot; updates carry
// a rising `seq`, so a lost message makes a screen late, never wrong. Keys in camelCase are those existing clients know.
import type { components } from './generated/inference.d.ts';

type Schemas = components['schemas'];

/** What a request that can fail is answered with, when the client passes a callback. */
export type Answer<T> =
  { success: true; data: T; error: null } | { success: false; data: null; error: { code: string; message: string } };
export type Reply<T> = (answer: Answer<T>) => void;

// ---- /monitor --------------------------------------------------------------------------------------------------------
export interface MonitorAsk {
  /** Default: the only attached SAE. */
  sae_id?: string | null;
  /** 0…64; default 8 unless features are chosen. */
  top_k?: number | null;
  features?: number[] | null;
  /** Only this request (its X-Request-Id). */
  request_id?: string | null;
}

export interface LabelledValue {
  index: number;
  value: number;
  label: string | null;
}

/** One token as a subscriber sees it: the features it asked for, in that order, then the strongest. */
export type LiveFrame = Omit<Schemas['MonitorFrame'], 'features'> & { timestamp: string; features: LabelledValue[] };

export interface FeatureStatistics {
  feature_idx: number;
  label: string | null;
  /** Readings of this feature. */
  count: number;
  mean: number;
  std: number;
  min: number;
  max: number;
  /** Of the tokens at which it could be seen, the share at which it was above zero. */
  active_ratio: number;
}

export interface MonitorSnapshot {
  subscription_id: string;
  ask: { sae_id: string; top_k: number; features: number[]; request_id: string | null };
  /** Counts in `seq` start again with the gateway, which then has another id. */
  gateway_id: string;
  /** Every later message has a higher one. */
  seq: number;
  frames: LiveFrame[];
  statistics: FeatureStatistics[];
  /** Tokens behind `statistics`. */
  tokens: number;
}

export interface MonitorMessage {
  subscription_id: string;
  seq: number;
  /** Every token since the last message. */
  frames: LiveFrame[];
  /** Tokens that this subscriber lost since it subscribed, because it read too slowly. */
  dropped: number;
  /** Tokens that nobody got, because they were lost before they reached the gateway. */
  dropped_upstream: number;
}

export interface MonitorInfo {
  /** Something is being watched now. */
  enabled: boolean;
  paused: boolean;
  /** What this server always watches, whoever looks. */
  standing: Required<Schemas['MonitorWatch']>[];
  /** What is watched now: the union of the standing watches and those of every subscriber. */
  watching: Required<Schemas['MonitorWatch']>[];
  subscribers: number;
  history_size: number;
  frames: number;
  dropped_upstream: number;
  since: string;
}

export interface MonitorClientEvents {
  'monitor:subscribe': (ask: MonitorAsk, reply?: Reply<{ subscription_id: string; seq: number }>) => void;
  /** Without an id: every subscription of this client; so are the next two. */
  'monitor:unsubscribe': (target?: { subscription_id?: string }, reply?: Reply<null>) => void;
  /** A paused subscriber is nobody's watcher; resuming begins with a fresh snapshot. */
  'monitor:pause': (target?: { subscription_id?: string }, reply?: Reply<null>) => void;
  'monitor:resume': (target?: { subscription_id?: string }, reply?: Reply<null>) => void;
  /** Forget history and statistics, for everybody. */
  'monitor:clear': (reply?: Reply<null>) => void;
}

export interface MonitorServerEvents {
  'monitor:snapshot': (snapshot: MonitorSnapshot) => void;
  'monitor:activations': (message: MonitorMessage) => void;
  'monitor:state': (info: MonitorInfo) => void;
  'monitor:cleared': (cleared: { seq: number }) => void;
  /** A request failed whose sender passed no callback, or a paused subscription could not be resumed. */
  'monitor:error': (error: { code: string; message: string }) => void;
}

// ---- /system ---------------------------------------------------------------------------------------------------------
export interface SystemMetrics {
  timestamp: string;
  gpu_utilization: number | null;
  gpu_memory_used_mb: number | null;
  gpu_memory_total_mb: number | null;
  gpu_temperature: number | null;
  cpu_utilization: number;
  memory: Schemas['MemoryState'];
  queue: Schemas['QueueState'];
  counters: Schemas['Counters'];
  gateway_memory_bytes: number;
}

export interface SteeringUpdate {
  enabled: boolean;
  /** Additive strengths by feature index, as text. */
  values: Record<string, number>;
  activeCount: number;
  intensity: number;
  sae_id: string | null;
  /** Everything, with the SAE of each. */
  features: { index: number; label: string | null; [field: string]: unknown }[];
}

export interface SystemSnapshot {
  gateway_id: string;
  seq: number;
  /** null = the sidecar is not reachable. */
  state: Schemas['RuntimeState'] | null;
  metrics: SystemMetrics | null;
  steering: SteeringUpdate;
}

export interface SystemEvents {
  'system:snapshot': (snapshot: SystemSnapshot) => void;
  'system:metrics': (metrics: SystemMetrics) => void;
  'system:sidecar': (sidecar: { reachable: boolean; instance_id: string | null }) => void;
  'model:loaded': (event: { model: Schemas['LoadedModel'] }) => void;
  'model:unloaded': (event: { model_id: string }) => void;
  'model:load:progress': (event: { modelId: string; stage: LoadStage; progress: number }) => void;
  'model:load:complete': (event: { modelId: string; memoryUsedMb: number }) => void;
  'model:load:error': (event: { modelId: string; error: { code: string; message: string } }) => void;
  'model:unload:complete': (event: { modelId: string }) => void;
  'sae:attached': (event: { saeId: string; layer: number; memoryMb: number; sae: Schemas['AttachedSae'] }) => void;
  'sae:detached': (event: { saeId: string }) => void;
  'steering:update': (steering: SteeringUpdate) => void;
}

// ---- /progress -------------------------------------------------------------------------------------------------------
export type LoadStage = Schemas['LoadEvent']['stage'];

interface ProgressOf<Kind extends string, State extends string> {
  kind: Kind;
  /** The download's, or the model's that is loading. */
  id: string;
  state: State;
  /** 0…100; null while the size is unknown. */
  progress: number | null;
  /** Nothing follows, unless it is started again. */
  is_final: boolean;
  message: string | null;
  /** Rises with every change of this download or load; apply only newer ones. */
  seq: number;
}
export type ProgressUpdate =
  | (ProgressOf<'download', Schemas['DownloadState']['state']> & { download: Schemas['DownloadState'] })
  | ProgressOf<'load', LoadStage>;

export interface ProgressEvents {
  'progress:snapshot': (snapshot: { gateway_id: string; items: ProgressUpdate[] }) => void;
  'progress:update': (update: ProgressUpdate) => void;
}
