// The live half of the composition: feed → monitoring and system events → sockets. `app.ts` has the rest.
import type { FastifyInstance } from 'fastify';
import type { Config } from './config.ts';
import type { DesiredRepository } from './desired.ts';
import type { InferenceClient } from './inference/client.ts';
import { createFeed } from './inference/feed.ts';
import type { Runtime } from './inference/runtime.ts';
import type { KeyService } from './keys/service.ts';
import type { Logger } from './log.ts';
import { monitoringService } from './monitoring/service.ts';
import { serveLive } from './plugins/live.ts';
import type { SteeringService } from './steering/service.ts';
import type { Cache } from './storage/cache.ts';
import { createLiveSystem } from './system/live.ts';

export interface LiveParts {
  config: Pick<Config, 'corsOrigins'>;
  keys: KeyService;
  cache: Cache;
  client: InferenceClient;
  runtime: Runtime;
  desired: DesiredRepository;
  steering: SteeringService;
  labels: (saeId: string) => Promise<ReadonlyMap<number, string>>;
  log: Logger;
}

export function composeLive({ config, keys, cache, client, runtime, desired, steering, labels, log }: LiveParts) {
  const feed = createFeed({ client, log });
  const monitoring = monitoringService({
    feed,
    client,
    cache,
    labels,
    attached: () => feed.state()?.saes ?? runtime.state()?.saes ?? [],
    log,
    onPeer: lookAgain,
  });
  const system = createLiveSystem({ id: monitoring.id, feed, cache, log, readSteering: steering.describe });

  /** Another gateway may have changed what is stored. */
  function lookAgain(): void {
    desired.invalidate();
    void system.lookAtSteering();
  }

  system.onRemoteChange(lookAgain);
  desired.onUpdate(() => void system.steeringChanged());
  // The reconcile loop looks by itself now and then; what is heard makes it look at once.
  feed.on(({ type }) => {
    if (type === 'snapshot' || type === 'state' || type === 'lost') runtime.look();
  });

  return {
    feed,
    monitoring,
    install(app: FastifyInstance): void {
      serveLive(app, { monitoring, system, keys, origins: config.corsOrigins, log });
      app.addHook('onReady', async () => {
        await monitoring.start();
        await system.start();
        feed.start();
      });
      app.addHook('preClose', async () => {
        await feed.close();
        await system.close();
        await monitoring.close();
      });
      app.addHook('onClose', () => cache.close());
    },
  };
}
