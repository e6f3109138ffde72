// What the tests of /v1 ask for, where it does not matter what.
import { modelName } from './build-test-app.ts';

export const hi = { model: modelName, messages: [{ role: 'user' as const, content: 'hi' }] };
export const text = { model: modelName, prompt: 'Once upon a time' };

export const tools = ['get_weather', 'get_time'].map((name) => ({
  type: 'function' as const,
  function: { name, parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
}));
