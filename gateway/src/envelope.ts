// What every /api answer is wrapped in.
import { z } from 'zod';

export const enveloped = <T extends z.ZodType>(data: T) =>
  z.object({ success: z.literal(true), data, error: z.null() });

export const ok = <T>(data: T) => ({ success: true as const, data, error: null });

export const failure = z
  .object({
    success: z.literal(false),
    data: z.null(),
    error: z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()) }),
  })
  .meta({ id: 'Failure' });

export const page = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), total: z.int(), skip: z.int(), limit: z.int() });

/** The answers of a route: the good one, and every failure in one shape. */
export const answers = <T extends z.ZodType>(data: T, status = 200) => ({
  [status]: enveloped(data),
  '4xx': failure,
  '5xx': failure,
});
