// /tokenize and /detokenize, for evaluation tools.
import { AppError } from '../errors.ts';
import type { z } from 'zod';
import type { InferenceClient } from '../inference/client.ts';
import type { Runtime } from '../inference/runtime.ts';
import type { ModelService } from '../models/service.ts';
import type { Caller } from './generation.ts';
import { toTemplateMessages } from './messages.ts';
import type { detokenizeRequest, tokenizeRequest } from './schemas.ts';

export interface TokenDeps {
  client: Pick<InferenceClient, 'tokenize' | 'detokenize'>;
  models: ModelService;
  runtime: Runtime;
}

export type TokenService = ReturnType<typeof tokenService>;

export function tokenService({ client, models, runtime }: TokenDeps) {
  async function loadedModel(name: string | null | undefined, caller: Caller) {
    if (name != null) {
      return models.ensureLoaded(await models.resolve(name), { withSaes: false, signal: caller.signal });
    }
    const loaded = runtime.state()?.model;
    if (!loaded) throw new AppError('MODEL_NOT_LOADED', 'No model is loaded; name one in `model`.');
    return loaded;
  }

  return {
    async tokenize(request: z.output<typeof tokenizeRequest>, caller: Caller) {
      if ((request.prompt == null) === (request.messages == null)) {
        throw new AppError('VALIDATION_ERROR', 'Give either prompt or messages.', { param: 'prompt' });
      }
      const loaded = await loadedModel(request.model, caller);
      const { token_ids, tokens } = await client.tokenize(
        {
          model_id: loaded.model_id,
          prompt:
            request.messages == null
              ? { type: 'text', text: request.prompt ?? '', add_special_tokens: request.add_special_tokens ?? true }
              : {
                  type: 'chat',
                  messages: toTemplateMessages(request.messages, false),
                  add_generation_prompt: request.add_generation_prompt ?? true,
                  add_special_tokens: request.add_special_tokens ?? false,
                },
        },
        caller,
      );
      return {
        count: token_ids.length,
        max_model_len: loaded.context_length,
        tokens: token_ids,
        token_strs: request.return_token_strs === true ? tokens : null,
      };
    },

    async detokenize(request: z.output<typeof detokenizeRequest>, caller: Caller) {
      const loaded = await loadedModel(request.model, caller);
      const { text } = await client.detokenize({ model_id: loaded.model_id, token_ids: request.tokens }, caller);
      return { prompt: text };
    },
  };
}
