// POST /v1/embeddings: never steered, never truncated silently.
import { AppError } from '../errors.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { ModelService } from '../models/service.ts';
import { normalise } from './completions.ts';
import type { Caller } from './generation.ts';
import { describeOverflow } from './overflow.ts';
import type { EmbeddingRequest } from './schemas.ts';

export interface EmbeddingDeps {
  client: Pick<InferenceClient, 'embed'>;
  models: ModelService;
}

export interface EmbeddingAnswer {
  object: 'list';
  model: string;
  data: { object: 'embedding'; index: number; embedding: number[] | string }[];
  usage: { prompt_tokens: number; total_tokens: number };
}

export type EmbeddingService = ReturnType<typeof embeddingService>;

export function embeddingService({ client, models }: EmbeddingDeps) {
  return {
    async embed(request: EmbeddingRequest, caller: Caller): Promise<EmbeddingAnswer> {
      const row = await models.resolve(request.model);
      const loaded = await models.ensureLoaded(row, { withSaes: false, signal: caller.signal });
      const dimensions = request.dimensions ?? loaded.hidden_size;
      if (dimensions > loaded.hidden_size) {
        const message = `dimensions must be in [1, ${loaded.hidden_size}], got ${dimensions}.`;
        throw new AppError('VALIDATION_ERROR', message, { param: 'dimensions' });
      }
      const inputs = normalise(request.input);
      refuseUnknownIds(inputs, loaded.vocab_size);
      const normalize = request.normalize ?? true;
      const { vectors, prompt_tokens } = await client
        .embed(
          {
            model_id: row.id,
            inputs: inputs.map((input) => (typeof input === 'string' ? { text: input } : { token_ids: input })),
            pooling: request.pooling ?? 'mean',
            normalize,
          },
          caller,
        )
        .catch((error: unknown) => {
          throw describeOverflow(error, 'input');
        });
      const encode = request.encoding_format === 'base64' ? toBase64 : (vector: number[]) => vector;
      return {
        object: 'list',
        model: request.model,
        data: vectors.map((vector, index) => ({
          object: 'embedding',
          index,
          embedding: encode(shorten(vector, dimensions, normalize)),
        })),
        usage: { prompt_tokens, total_tokens: prompt_tokens },
      };
    },
  };
}

function refuseUnknownIds(inputs: readonly (string | number[])[], vocabSize: number): void {
  for (const input of inputs) {
    const unknown = typeof input === 'string' ? undefined : input.find((id) => id >= vocabSize);
    if (unknown === undefined) continue;
    throw new AppError(
      'VALIDATION_ERROR',
      `Token id ${unknown} is out of vocabulary (vocabulary size ${vocabSize}). The ids seem to come from another ` +
        "model's tokenizer; with LangChain, set check_embedding_ctx_length=False.",
      { param: 'input' },
    );
  }
}

/** The first dimensions, of unit length again. */
function shorten(vector: number[], dimensions: number, normalize: boolean): number[] {
  if (dimensions >= vector.length) return vector;
  const first = vector.slice(0, dimensions);
  const norm = Math.hypot(...first);
  return normalize && norm > 0 ? first.map((value) => value / norm) : first;
}

/** Little-endian float32, which is what both official clients decode. */
function toBase64(vector: number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes.toString('base64');
}
