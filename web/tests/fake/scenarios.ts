/** What the fake gateway can be asked to be. Each name is a state that the real one can be in. */
export const scenarios = [
  'ready',
  'slow',
  'silent', // accepts everything, answers nothing: the loading state
  'no-model',
  'loading-model',
  'no-sae',
  'no-features',
  'degraded',
  'down', // drops every connection
  'queue-full',
  'error-late',
  'cut', // the stream ends without its end
  'split-bytes', // three bytes at a time, characters cut apart
  'no-activations',
] as const;

export type Scenario = (typeof scenarios)[number];
