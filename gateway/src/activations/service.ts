import { AppError } from '../errors.ts';
import type { FeatureService } from '../features/service.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { Prompt } from '../inference/contract.ts';
import type { Runtime } from '../inference/runtime.ts';
import { toTemplateMessages } from '../openai/messages.ts';
import { attachedSae, requireIndex } from '../steering/resolve.ts';
import type { ContrastBody, ReadBody, Sample } from './schemas.ts';

export interface ActivationOptions {
  client: Pick<InferenceClient, 'readActivations' | 'contrastActivations'>;
  runtime: Runtime;
  features: FeatureService;
}

export type ActivationService = ReturnType<typeof activationService>;

const defaultTopK = 8;

export function activationService({ client, runtime, features }: ActivationOptions) {
  function loaded() {
    const state = runtime.state();
    if (!state) throw new AppError('SIDECAR_UNAVAILABLE', 'The inference service is not reachable.');
    if (!state.model) throw new AppError('MODEL_NOT_LOADED', 'No model is loaded.');
    return { modelId: state.model.model_id, attached: state.saes };
  }

  return {
    async read(body: ReadBody, requestId: string) {
      const { modelId, attached } = loaded();
      const sae = attachedSae(body.sae_id ?? null, attached, 'sae_id');
      const chosen = body.features ?? [];
      chosen.forEach((index, position) => requireIndex(index, sae, `features[${position}]`));
      const prompt = toPrompt(body.text ?? body.messages ?? '');
      const topK = body.top_k ?? (chosen.length > 0 ? 0 : defaultTopK);
      const { tokens } = await client.readActivations(
        {
          model_id: modelId,
          prompt,
          activations: {
            sae_id: sae.sae_id,
            top_k: topK,
            features: chosen,
            prompt: true,
            stage: body.stage ?? 'before',
          },
        },
        { requestId },
      );
      const label = await features.labeller(sae.sae_id);
      return { sae_id: sae.sae_id, tokens: label(tokens) };
    },

    async contrast(body: ContrastBody, requestId: string) {
      const { modelId, attached } = loaded();
      const sae = attachedSae(body.sae_id ?? null, attached, 'sae_id');
      const found = await client.contrastActivations(
        { model_id: modelId, sae_id: sae.sae_id, a: body.a.map(toPrompt), b: body.b.map(toPrompt), limit: body.limit },
        { requestId },
      );
      const named = found.features.map(async (feature) => ({
        ...feature,
        label: await features.label(sae.sae_id, feature.index),
      }));
      return { sae_id: sae.sae_id, texts_a: found.texts_a, texts_b: found.texts_b, features: await Promise.all(named) };
    },
  };
}

function toPrompt(sample: Sample): Prompt {
  if (typeof sample === 'string') return { type: 'text', text: sample, add_special_tokens: true };
  return { type: 'chat', messages: toTemplateMessages(sample, false), add_generation_prompt: false };
}
