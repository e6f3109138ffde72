// What chat and text completions share: model, steering and activations of a request, and a started generation.
import { createHash, randomBytes } from 'node:crypto';
import { AppError } from '../errors.ts';
import type { FeatureService, Labeller } from '../features/service.ts';
import type { Generation, InferenceClient } from '../inference/client.ts';
import type { AttachedSae, GenerateRequest, LoadedModel, Schemas } from '../inference/contract.ts';
import type { Runtime } from '../inference/runtime.ts';
import type { ModelRow } from '../models/repository.ts';
import type { ModelService } from '../models/service.ts';
import { attachedSae, requireIndex } from '../steering/resolve.ts';
import type { ResolvedSteering } from '../steering/resolve.ts';
import type { SteeringService } from '../steering/service.ts';
import { withIntensity } from './intensity.ts';
import type { ActivationsAsk, CommonRequest } from './schemas.ts';

export interface GenerationDeps {
  client: Pick<InferenceClient, 'generate'>;
  runtime: Runtime;
  models: ModelService;
  steering: SteeringService;
  features: FeatureService;
}

/** Everything of a request that is settled before its prompt is looked at. */
export interface Ground {
  row: ModelRow;
  loaded: LoadedModel;
  steering: ResolvedSteering;
  activations: Schemas['ActivationsRequest'] | null;
  label: Labeller;
  systemFingerprint: string;
}

export interface Caller {
  requestId: string;
  signal: AbortSignal;
}

export type GenerationService = ReturnType<typeof generationService>;

export function generationService({ client, runtime, models, steering, features }: GenerationDeps) {
  async function prepare(request: CommonRequest, caller: Caller): Promise<Ground> {
    const row = await models.resolve(request.model);
    const ask = {
      steering: withIntensity(request.steering, request.steering_intensity),
      profile: request.profile ?? null,
      modelName: row.name,
    };
    const withSaes = request.activations != null || (await steering.needsSae(ask));
    const loaded = await models.ensureLoaded(row, { withSaes, signal: caller.signal });
    refuseUnknownTokens(request, loaded.vocab_size);
    const attached = runtime.state()?.saes ?? [];
    const activations = request.activations == null ? null : toActivations(request.activations, attached);
    return {
      row,
      loaded,
      steering: await steering.forRequest(ask),
      activations,
      label: activations ? await features.labeller(activations.sae_id) : () => [],
      systemFingerprint: systemFingerprint(loaded),
    };
  }

  /** Starts, and starts once more when the sidecar turns out to have restarted behind our back. */
  async function start(row: ModelRow, request: GenerateRequest, caller: Caller): Promise<Generation> {
    try {
      return await client.generate(request, caller);
    } catch (error) {
      if (!(error instanceof AppError) || !isStaleView(error)) throw error;
      runtime.doubt();
      await models.ensureLoaded(row, { withSaes: true, signal: caller.signal });
      return client.generate(request, caller);
    }
  }

  return { prepare, start };
}

const staleView: ReadonlySet<string> = new Set(['MODEL_NOT_LOADED', 'SAE_NOT_ATTACHED', 'SIDECAR_UNAVAILABLE']);
const isStaleView = (error: AppError) => staleView.has(error.code);

function toActivations(ask: ActivationsAsk, attached: readonly AttachedSae[]): Schemas['ActivationsRequest'] {
  const sae = attachedSae(ask.sae_id ?? null, attached, 'activations.sae_id');
  (ask.features ?? []).forEach((index, position) => requireIndex(index, sae, `activations.features[${position}]`));
  return {
    sae_id: sae.sae_id,
    top_k: ask.top_k ?? 0,
    features: ask.features ?? [],
    prompt: ask.prompt ?? false,
    stage: ask.stage ?? 'before',
  };
}

function refuseUnknownTokens(request: CommonRequest, vocabSize: number): void {
  const refuse = (id: number | string, param: string) => {
    const message = `Token id ${id} is out of vocabulary (vocabulary size ${vocabSize}).`;
    throw new AppError('VALIDATION_ERROR', message, { param });
  };
  for (const id of Object.keys(request.logit_bias ?? {})) if (Number(id) >= vocabSize) refuse(id, 'logit_bias');
  for (const id of request.stop_token_ids ?? []) if (id >= vocabSize) refuse(id, 'stop_token_ids');
}

function systemFingerprint(loaded: LoadedModel): string {
  const identity = [loaded.model_id, loaded.path, loaded.dtype, loaded.quantization ?? '', loaded.architecture];
  return `fp_${createHash('sha256').update(identity.join('\n')).digest('hex').slice(0, 10)}`;
}

export const newId = (prefix: string) => `${prefix}-${randomBytes(12).toString('hex')}`;
export const unixSeconds = () => Math.floor(Date.now() / 1000);
