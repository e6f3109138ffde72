// Structured logs: an event name and fields; no prompt text, no keys.
import { pino } from 'pino';
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import pretty from 'pino-pretty';

const mostUnwritten = 1024 * 1024;

export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'>;

/** A disk that is full under the log costs lines of the log: what cannot be written is dropped, and nobody waits for it. */
function standardOutput(): DestinationStream {
  const out = pino.destination({ dest: 1, sync: true, maxLength: mostUnwritten });
  out.on('error', () => undefined);
  return out;
}

export function createLogger(
  config: { logLevel: string; logFormat: 'json' | 'console' },
  destination?: DestinationStream,
): PinoLogger {
  const options = {
    level: config.logLevel,
    base: { program: 'gateway' },
    formatters: { level: (level: string) => ({ level }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    redact: ['req.headers.authorization', 'req.headers["x-api-key"]', 'hf_token'],
  };
  if (destination) return pino(options, destination);
  if (config.logFormat === 'json') return pino(options, standardOutput());
  const stream = pretty({
    colorize: process.stdout.isTTY === true,
    ignore: 'pid,hostname,program',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    destination: standardOutput(),
  });
  return pino(options, stream);
}
