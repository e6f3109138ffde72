/** Addresses of a feature: its page here, and the playground steered by it. */
import { resolve } from '$app/paths';

export function featurePath(saeId: string, index: number, find: string | null = null): string {
  const query = new URLSearchParams({ ...(find && { find }), sae: saeId, index: String(index) });
  return `${resolve('/features')}?${query.toString()}`;
}

export function playgroundPath(saeId: string, index: number, strength: number): string {
  return `${resolve('/playground')}?sae=${encodeURIComponent(saeId)}&features=${index}:${strength}`;
}
