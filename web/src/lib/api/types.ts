/**
 * The shapes that `/api` and `/v1` send and take, by the names the dashboard uses. They come from the gateway's own
 * OpenAPI document (proto/generated/gateway.d.ts); nothing is written twice here. Where the document only says "object",
 * the contract with the sidecar, which the gateway passes through, says which.
 */
import type { components, paths } from '@millm/proto/gateway';
import type { components as sidecar } from '@millm/proto/inference';

type Schemas = components['schemas'];
type Sidecar = sidecar['schemas'];
type BodyOf<Path extends keyof paths, Method extends keyof paths[Path]> = NonNullable<
  paths[Path][Method] extends { requestBody?: { content: { 'application/json': infer Body } } } ? Body : never
>;

export interface Page<T> {
  items: T[];
  total: number;
  skip: number;
  limit: number;
}

// ---- system ----------------------------------------------------------------------------------------------------------
/** A proxy's or an older server's answer may hold less than the gateway's. */
export type Health = Partial<Omit<Schemas['Health'], 'status'>> & { status: string };
export type MemoryState = Sidecar['MemoryState'];
export type QueueState = Sidecar['QueueState'];
export type Counters = Sidecar['Counters'];
export type SystemState = Omit<Schemas['System'], 'memory' | 'queue' | 'counters'> & {
  memory: MemoryState | null;
  queue: QueueState | null;
  counters: Counters | null;
};
export type ServerConfig = Schemas['Config'];
export type ServerSettings = ServerConfig['settings'];
export type LoggedRequest = Schemas['LoggedRequest'];
export type Download = Schemas['Download'];
export type ApiKey = Schemas['ApiKey'];
export type CreatedApiKey = Schemas['CreatedApiKey'];
export type NewApiKey = Schemas['NewApiKeyInput'];

// ---- models and SAEs -------------------------------------------------------------------------------------------------
export type Model = Schemas['Model'];
export type ModelStatus = Model['status'];
export type ModelPreview = Schemas['ModelPreview'];
export type ModelRequest = BodyOf<'/api/models', 'post'>;
export type ModelImport = BodyOf<'/api/models/import', 'post'>;
export type Quantization = NonNullable<ModelRequest['quantization']>;
export type Sae = Schemas['Sae'];
export type SaePreview = Schemas['SaePreview'];
export type SaeRequest = BodyOf<'/api/saes', 'post'>;
export type SaeImport = BodyOf<'/api/saes/import', 'post'>;
export type SaePlace = BodyOf<'/api/saes/{id}/attach', 'post'>;
export type RegistryEntry = Schemas['RegistryEntry'];
export type Compatibility = Schemas['Compatibility'];

// ---- features --------------------------------------------------------------------------------------------------------
/** As much of a feature as somebody knows: a token only names its index and label, a list its statistics too. */
export type FeatureSummary = Pick<Schemas['Feature'], 'index' | 'label'> & {
  density?: number | null;
  max_activation?: number | null;
  /** A strength known to change answers coherently, where somebody measured one. */
  suggested_strength?: number | null;
  /** Whose it is, where several SAEs are in play. */
  sae_id?: string | null;
};
export type FeatureDetail = Schemas['FeatureDetail'];
export type LabelReport = Schemas['LabelReport'];

// ---- steering and profiles -------------------------------------------------------------------------------------------
export type SteeringConfiguration = Schemas['SteeringInput'];
export type SteeredFeature = NonNullable<SteeringConfiguration['features']>[number];
export type Operation = NonNullable<SteeredFeature['op']>;
/** What requests get that name no steering of their own. */
export type ActiveSteering = Omit<Schemas['ActiveSteering'], 'features'> & {
  features: (SteeredFeature & { label: string | null })[];
};
export type Profile = Schemas['Profile'];
export type ProfileDetail = Schemas['ProfileDetail'];
export type ProfileRequest = BodyOf<'/api/profiles', 'post'>;
export type ProfileChange = BodyOf<'/api/profiles/{id}', 'patch'>;
export type ProfileFormat = Profile['format'];
export type ProfileImportReport = Schemas['ImportAnswer'];

// ---- activations and monitoring --------------------------------------------------------------------------------------
export type ActivationEntry = Schemas['ActivationEntry'];
export type ActivationsRequest = Schemas['ReadActivationsInput'];
export type ContrastRequest = Schemas['ContrastActivationsInput'];
export type Contrast = Schemas['Contrast'];
export type Monitor = Schemas['Monitor'];
export type MonitorChange = Schemas['MonitorChangeInput'];
export type MonitorRecord = Schemas['MonitorRecord'];
export type MonitorStatistics = Schemas['MonitorStatistics'];
export type FeatureStatistics = Schemas['FeatureStatistics'];

// ---- chat ------------------------------------------------------------------------------------------------------------
export type ChatMessage = { role: 'system' | 'user' | 'assistant'; content: string };
/** An intersection, not Omit: the document allows unknown fields, and Omit would forget the known ones. */
export type ChatRequest = Schemas['ChatCompletionRequestInput'] & { messages: ChatMessage[] };
/** A token that was written and the likeliest at its place; natural logarithms. */
export interface TokenLogprob {
  token: string;
  logprob: number;
  top_logprobs: { token: string; logprob: number }[];
}
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}
