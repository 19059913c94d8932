// What lives here: the worker's log: where its lines go, and what a line may hold.
// Invariant: a disk that is full or a reader that has gone costs lines and never the worker, and the next line that is written says how many;
// of an error only names that Mendflow knows and places in code are written, wherever in a line it stands.
// Apart because a log that throws ends the process it should tell about.
import { writeSync } from 'node:fs';
import { DefaultLogger, type LogLevel, Runtime } from '@temporalio/worker';
import { type Logger, pino } from 'pino';
import type { Config } from '../config.ts';
import { placesOf } from '../flow/places.ts';
import { classify } from '../model/classify.ts';

/** So often a pipe whose reader is slow is tried again, 10 ms apart, before a line is given up. */
const TRIES_MAX = 100;

/** Writes a line to a file descriptor, all of it or as good as nothing; never throws. `write` can be replaced to see what becomes of errors. */
export function lineWriter(fd: number, write: typeof writeSync = writeSync): { write(line: string): void } {
  let lost = 0;
  let why = '';
  let torn = false;
  const put = (text: string): boolean => {
    const bytes = Buffer.from(text);
    for (let at = 0, tries = 0; at < bytes.length;)
      try {
        at += write(fd, bytes, at);
        torn = at < bytes.length;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN' && ++tries < TRIES_MAX) {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
          continue;
        }
        why = code ?? 'an unknown error';
        return false;
      }
    return true;
  };
  return {
    write(line) {
      if (lost > 0 || torn) {
        const msg = `${lost} lines of this log could not be written (${why}); the work went on.`;
        if (
          !put(`${torn ? '\n' : ''}${JSON.stringify({ level: 40, time: Date.now(), pid: process.pid, lost, msg })}\n`)
        ) {
          lost += 1;
          return;
        }
        lost = 0;
      }
      if (!put(line)) lost += 1;
    },
  };
}

/** The log of this process, also that of Temporal's SDK and of its core, which would write to the terminal by itself. */
export function openLog(level: Config['logLevel']): Logger {
  const logger = pino({ level, base: { pid: process.pid } }, lineWriter(1));
  const write = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
  Runtime.install({
    logger: new DefaultLogger(level.toUpperCase() as LogLevel, ({ level: of, message, meta }) =>
      logger[write[of]](plainFields(meta ?? {}), plainText(message)),
    ),
    telemetryOptions: { logging: { forward: {} } },
    // Signals are handled by the worker: the runtime's own handler would not wait for its pools.
    shutdownSignals: [],
  });
  // Somebody's console.log to a disk that is full.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  tellWarnings(logger);
  return logger;
}

/** Some lines of the SDK end with the message of an error after a colon; what went wrong stands before it. */
const sdkLines = /^(Error while [^:]{1,100}|Failed to [^:]{1,100}|[^:]{1,100} threw an error): [^]*$/;
const plainText = (message: string): string => message.replace(sdkLines, '$1');

/** Fields of Temporal's core that hold whole failures, with whatever message they have. */
const untold = /^(failure|failures|completion|cause|message|stack|stackTrace|details|payloads?|input|args|result)$/;

/** Fields of a line: errors, at any depth of two, become what may be told of them. */
export function plainFields(meta: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const fromCore = meta['sdkComponent'] === 'core';
  return Object.fromEntries(
    Object.entries(meta).flatMap(([name, value]) => {
      if (value instanceof Error) return [[name, toldOf(value)]];
      if (untold.test(name) || (fromCore && name === 'error')) return [];
      return [[name, name === 'error' && typeof value === 'object' && value !== null ? toldOf(value) : value]];
    }),
  );
}

const toldOf = (error: object): { code: string; at: string[] } => ({ code: classify(error).code, at: placesOf(error) });

/** Names of warnings that Node itself gives. */
const warningNames: ReadonlySet<string> = new Set([
  'Warning',
  'DeprecationWarning',
  'ExperimentalWarning',
  'MaxListenersExceededWarning',
  'TimeoutOverflowWarning',
  'TimeoutNegativeWarning',
  'TimeoutNaNWarning',
  'UnsupportedWarning',
  'PromiseRejectionHandledWarning',
  'UnhandledPromiseRejectionWarning',
]);

/** Node writes warnings to the terminal with the words of whoever gave them. Their kind and their place are enough to find them. */
function tellWarnings(logger: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    const { name, code } = warning as Error & { code?: unknown };
    const shown = warningNames.has(name) ? name : 'Warning';
    const number = typeof code === 'string' && /^DEP\d{4}$/.test(code) ? ` ${code}` : '';
    logger.warn({ at: placesOf(warning) }, `${shown}${number} of Node or of a package.`);
  });
}
