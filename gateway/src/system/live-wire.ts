// Domain words → the events of /system. Pure.
import type { SteeringUpdate, SystemEvents, SystemMetrics } from '@millm/proto/live';
import type { FeedEventOf } from '../inference/feed-contract.ts';
import { isAdditive } from '../steering/schemas.ts';
import type { ActiveSteering } from '../steering/service.ts';
import type { RuntimeChange } from './changes.ts';

export type SystemEvent = {
  [Name in keyof SystemEvents]: { name: Name; data: Parameters<SystemEvents[Name]>[0] };
}[keyof SystemEvents];

const mebibytes = (bytes: number) => Math.round(bytes / 1_048_576);

export function toEvents(change: RuntimeChange): SystemEvent[] {
  switch (change.type) {
    case 'model:loaded': {
      const { model } = change;
      const complete = { modelId: model.model_id, memoryUsedMb: mebibytes(model.memory_bytes) };
      return [
        { name: 'model:loaded', data: { model } },
        { name: 'model:load:complete', data: complete },
      ];
    }
    case 'model:unloaded':
      return [
        { name: 'model:unloaded', data: { model_id: change.modelId } },
        { name: 'model:unload:complete', data: { modelId: change.modelId } },
      ];
    case 'sae:attached': {
      const { sae } = change;
      const data = { saeId: sae.sae_id, layer: sae.layer, memoryMb: mebibytes(sae.memory_bytes), sae };
      return [{ name: 'sae:attached', data }];
    }
    case 'sae:detached':
      return [{ name: 'sae:detached', data: { saeId: change.saeId } }];
  }
}

export function toMetrics(event: FeedEventOf<'metrics'>): SystemMetrics {
  const isGpu = event.memory.device.startsWith('cuda');
  return {
    timestamp: new Date().toISOString(),
    gpu_utilization: event.gpu_percent,
    gpu_memory_used_mb: isGpu ? mebibytes(event.memory.used_bytes) : null,
    gpu_memory_total_mb: isGpu ? mebibytes(event.memory.total_bytes) : null,
    gpu_temperature: event.gpu_temperature_c,
    cpu_utilization: event.cpu_percent,
    memory: event.memory,
    queue: event.queue,
    counters: event.counters,
    gateway_memory_bytes: process.memoryUsage.rss(),
  };
}

export const noSteering: SteeringUpdate = {
  enabled: false,
  values: {},
  activeCount: 0,
  intensity: 1,
  sae_id: null,
  features: [],
};

export function toSteeringUpdate({ enabled, intensity, sae_id, features }: ActiveSteering): SteeringUpdate {
  const values: Record<string, number> = {};
  for (const feature of features) {
    if (isAdditive(feature.op ?? 'add') && feature.strength != null) values[feature.index] = feature.strength;
  }
  return { enabled, values, activeCount: features.length, intensity, sae_id, features };
}
