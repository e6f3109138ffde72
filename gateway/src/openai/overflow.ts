import { AppError } from '../errors.ts';

type Noun = 'messages' | 'prompt' | 'input';

/** Clients recognise a full context by exactly these sentences. */
export function describeOverflow(error: unknown, noun: Noun): unknown {
  if (!(error instanceof AppError) || error.code !== 'CONTEXT_LENGTH_EXCEEDED') return error;
  const context = numberIn(error.details, 'context_length');
  const prompt = numberIn(error.details, 'prompt_tokens');
  const completion = numberIn(error.details, 'max_tokens');
  if (context === null || prompt === null) return error;
  const limit = `This model's maximum context length is ${context} tokens.`;
  const message =
    completion === null || noun === 'input'
      ? `${limit} However, your ${noun} resulted in ${prompt} tokens. Please reduce the length of the ${noun}.`
      : `${limit} However, you requested ${prompt + completion} tokens (${prompt} in the ${noun}, ${completion} in the ` +
        `completion). Please reduce the length of the ${noun} or completion.`;
  return new AppError('CONTEXT_LENGTH_EXCEEDED', message, { param: noun, details: error.details, cause: error });
}

function numberIn(details: Record<string, unknown>, name: string): number | null {
  const value = details[name];
  return typeof value === 'number' ? value : null;
}
