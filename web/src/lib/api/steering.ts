/** The active configuration: what requests get that name no steering of their own. */
import { request } from './client.ts';
import type { ActiveSteering, SteeringConfiguration } from './types.ts';

export function getSteering(signal?: AbortSignal): Promise<ActiveSteering> {
  return request('/api/steering', { signal });
}

export function putSteering(configuration: SteeringConfiguration): Promise<ActiveSteering> {
  return request('/api/steering', { method: 'PUT', body: configuration });
}

export function clearSteering(): Promise<ActiveSteering> {
  return request('/api/steering', { method: 'DELETE' });
}

export function enableSteering(isEnabled: boolean): Promise<ActiveSteering> {
  return request(`/api/steering/${isEnabled ? 'enable' : 'disable'}`, { method: 'POST' });
}
