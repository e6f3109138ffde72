// The items of a response, as they are on the wire.
import { newId } from '../generation.ts';
import type { LabelledEntry } from '../../features/service.ts';
import type { Usage } from '../chunks.ts';

interface OutputText {
  type: 'output_text';
  text: string;
  annotations: never[];
  logprobs: never[];
}

export interface MessageItem {
  type: 'message';
  id: string;
  status: 'in_progress' | 'completed' | 'incomplete';
  role: 'assistant';
  content: OutputText[];
}

export interface CallItem {
  type: 'function_call';
  id: string;
  status: 'in_progress' | 'completed' | 'incomplete';
  call_id: string;
  name: string;
  arguments: string;
}

export interface ReasoningItem {
  type: 'reasoning';
  id: string;
  summary: never[];
  content: { type: 'reasoning_text'; text: string }[];
}

export type OutputItem = MessageItem | CallItem | ReasoningItem;

export interface ResponseBody {
  id: string;
  object: 'response';
  created_at: number;
  status: 'in_progress' | 'completed' | 'incomplete' | 'failed';
  model: string;
  output: OutputItem[];
  usage: ResponseUsage | null;
  error: null;
  incomplete_details: { reason: 'max_output_tokens' } | null;
  millm?: { activations: LabelledEntry[] };
  [echoed: string]: unknown;
}

export interface ResponseUsage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
  millm: Usage['millm'];
}

export const outputText = (text: string): OutputText => ({ type: 'output_text', text, annotations: [], logprobs: [] });

export const newMessage = (): MessageItem => ({
  type: 'message',
  id: newId('msg').replace('-', '_'),
  status: 'in_progress',
  role: 'assistant',
  content: [],
});

export const newCall = (callId: string, name: string): CallItem => ({
  type: 'function_call',
  id: newId('fc').replace('-', '_'),
  status: 'in_progress',
  call_id: callId,
  name,
  arguments: '',
});

export const newReasoning = (): ReasoningItem => ({
  type: 'reasoning',
  id: newId('rs').replace('-', '_'),
  summary: [],
  content: [],
});

export function toResponseUsage(usage: Usage): ResponseUsage {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: usage.prompt_tokens_details,
    output_tokens: usage.completion_tokens,
    output_tokens_details: usage.completion_tokens_details,
    total_tokens: usage.total_tokens,
    millm: usage.millm,
  };
}
