// What lives here: the loader's side of the parser thread: started late, fed with credits, ended surely.
// Invariant: a thread never outlives its iteration or its reader; a thread that cannot start is told from one that failed at work.
// Apart because threads and their messages are nobody else's concern.
import { CodedError } from '../../model/failure.ts';
import type { FromParser, ParserWork, ToParser } from '../log-parser.ts';
import type { Chunk } from '../types.ts';
import { startThread } from './start-thread.ts';

/** Raised if the thread did not come up; the caller can parse by itself, for nothing was read yet. */
export class ThreadUnavailable extends Error {
  override readonly name = 'ThreadUnavailable';
}

export interface ParserThread {
  chunks(signal: AbortSignal): AsyncGenerator<Chunk>;
  free(memory: ArrayBuffer): void;
  end(): Promise<void>;
}

type Event = FromParser | { readonly kind: 'died'; readonly error: unknown } | { readonly kind: 'aborted' };

/** Starts a thread. Iterating throws ThreadUnavailable before the first chunk if it cannot start. */
export function parserThread(work: ParserWork): ParserThread {
  const worker = startThread(new URL('../log-parser', import.meta.url), {
    workerData: work,
    name: 'mendflow log parser',
  });
  const events: Event[] = [];
  let wake: (() => void) | undefined;
  let ready = false;
  const push = (event: Event): void => {
    events.push(event);
    wake?.();
  };
  worker.on('message', push);
  worker.on('messageerror', (error) => push({ kind: 'died', error }));
  worker.on('error', (error) => push({ kind: 'died', error }));
  worker.on('exit', (code) => push({ kind: 'died', error: new Error(`The parser thread ended with code ${code}.`) }));
  const send = (message: ToParser, memory: readonly ArrayBuffer[] = []): void =>
    worker.postMessage(message, [...memory]);

  async function* chunks(signal: AbortSignal): AsyncGenerator<Chunk> {
    const abort = (): void => push({ kind: 'aborted' });
    signal.addEventListener('abort', abort, { once: true });
    try {
      while (!signal.aborted) {
        const event = events.shift();
        if (event === undefined) {
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        if (event.kind === 'end' || event.kind === 'aborted') return;
        if (event.kind === 'ready') ready = true;
        else if (event.kind === 'chunk') {
          send({ kind: 'credit' });
          yield event.chunk;
        } else throw failureOf(event, ready);
      }
    } finally {
      signal.removeEventListener('abort', abort);
      await worker.terminate();
    }
  }
  return {
    chunks,
    free: (memory) => send({ kind: 'free', memory }, [memory]),
    end: async () => {
      await worker.terminate();
    },
  };
}

function failureOf(event: Extract<Event, { kind: 'failure' | 'died' }>, ready: boolean): Error {
  if (event.kind === 'died') {
    const text = `The parser thread ended before its work: ${String(event.error)}`;
    if (!ready) return new ThreadUnavailable(text, { cause: event.error });
    return new CodedError('worker_lost', text, { cause: event.error });
  }
  if (event.coded !== undefined) return new CodedError(event.coded, event.text);
  return Object.assign(new Error(event.text), event.errno === undefined ? {} : { code: event.errno });
}
