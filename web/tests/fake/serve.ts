/** `npm run dev:fake [scenario]`: the built page on a fake gateway, for looking at it without a model. */
import { startFakeGateway } from './gateway.ts';
import { scenarios, type Scenario } from './scenarios.ts';

const asked = process.argv[2] ?? 'ready';
if (!scenarios.includes(asked as Scenario)) {
  console.error(`Unknown scenario ${asked}. One of: ${scenarios.join(', ')}.`);
  process.exit(1);
}
const gateway = await startFakeGateway(asked as Scenario, Number(process.env.PORT ?? 8010));
console.log(`${gateway.url} plays ${asked}`);
