// Structured logs: an event name and fields; no prompt text, no keys.
import { pino } from 'pino';
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import pretty from 'pino-pretty';

export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error'>;

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
  if (config.logFormat === 'json') return pino(options);
  const stream = pretty({
    colorize: process.stdout.isTTY === true,
    ignore: 'pid,hostname,program',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    sync: true,
  });
  return pino(options, stream);
}
