// Which tools a request may call: what the template sees, what decoding is constrained to, how the output is read.
import { AppError } from '../errors.ts';
import type { Schemas } from '../inference/contract.ts';
import { schemaConstraint } from './grammar.ts';
import type { OutputParser } from './output.ts';
import { namedCallOutput, toolCallOutput } from './tool-output.ts';
import type { ChatRequest } from './schemas.ts';

export interface ToolPlan {
  /** For the chat template; null = it is not told of any. */
  templateTools: Record<string, unknown>[] | null;
  grammar: Schemas['Grammar'] | null;
  newParser: (() => OutputParser) | null;
}

/** Demanded at once: a small model may not know when to stop. */
const mostCalls = 16;

const none: ToolPlan = { templateTools: null, grammar: null, newParser: null };

export function planTools(request: Pick<ChatRequest, 'tools' | 'tool_choice' | 'parallel_tool_calls'>): ToolPlan {
  const { tools, tool_choice: choice } = request;
  if (tools == null) {
    if (choice == null || choice === 'none') return none;
    throw refuse('`tool_choice` is only allowed when `tools` are given.');
  }
  if (choice === 'none') return none;
  const templateTools = tools.map((tool) => ({ type: tool.type, function: tool.function }));
  const names = tools.map((tool) => tool.function.name);
  const onlyOne = request.parallel_tool_calls === false;
  if (choice == null || choice === 'auto') {
    return { templateTools, grammar: null, newParser: () => toolCallOutput({ names, onlyOne }) };
  }
  if (choice === 'required') {
    const one = { anyOf: tools.map((tool) => callSchema(tool.function)) };
    const several = { type: 'array', items: one, minItems: 1, maxItems: mostCalls };
    const { grammar } = schemaConstraint(onlyOne ? one : { anyOf: [...one.anyOf, several] }, null, 'tools');
    return { templateTools, grammar, newParser: () => toolCallOutput({ names, onlyOne }) };
  }
  const wanted = choice.function.name;
  const named = tools.find((tool) => tool.function.name === wanted);
  if (!named) throw refuse(`The tool "${wanted}" of \`tool_choice\` is not in \`tools\`.`);
  const { grammar } = schemaConstraint(parametersOf(named.function), null, 'tools');
  return { templateTools, grammar, newParser: () => namedCallOutput(wanted) };
}

type ToolFunction = NonNullable<ChatRequest['tools']>[number]['function'];

/** Arguments nobody declared are not allowed, unless the tool says otherwise. */
const parametersOf = ({ parameters }: ToolFunction) => ({
  type: 'object',
  properties: {},
  additionalProperties: false,
  ...parameters,
});

function callSchema(tool: ToolFunction) {
  return {
    type: 'object',
    properties: { name: { const: tool.name }, arguments: parametersOf(tool) },
    required: ['name', 'arguments'],
    additionalProperties: false,
  };
}

function refuse(message: string): AppError {
  return new AppError('VALIDATION_ERROR', message, { param: 'tool_choice' });
}
