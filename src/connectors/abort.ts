// What lives here: waiting for something that cannot be cancelled, until a signal says to stop.
// Invariant: whoever waits goes on at the abort at the latest, no listener stays behind, and a late failure is nobody's unhandled rejection.
// Apart because DNS, sockets and bodies all need it, and each forgotten listener is a leak.
import { setMaxListeners } from 'node:events';

/** What `work` gives, or the signal's reason as soon as it is aborted; the work itself goes on unheard. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: (() => void) | undefined;
  allowMany(signal);
  const aborted = new Promise<never>((_, reject) => {
    stop = (): void => reject(asError(signal.reason));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (stop) signal.removeEventListener('abort', stop);
    // The loser of the race may still fail; by then nobody listens.
    work.catch(() => undefined);
    aborted.catch(() => undefined);
  }
}

/** A stage may have hundreds of calls under way, each of which listens to its signal; beyond ten Node would call that a leak. */
const allowMany = (signal: AbortSignal): void => setMaxListeners(0, signal);

/** A signal may be aborted with any value; what is thrown is an error. */
const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new DOMException('The call was aborted.', 'AbortError');

/** Whether an abort says that time is up, and not that somebody stopped the work. */
export const isTimeout = (reason: unknown): boolean =>
  reason !== null && typeof reason === 'object' && (reason as { name?: unknown }).name === 'TimeoutError';

/**
 * Runs the work with a signal that is aborted with `outer`, or with a TimeoutError after so long. `AbortSignal.any` and
 * `AbortSignal.timeout` together will not do: Node 20 collects the timeout as garbage, and it never comes.
 */
export async function within<T>(
  ms: number,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const inner = new AbortController();
  const pass = (): void => inner.abort(outer?.reason);
  const timer = setTimeout(() => inner.abort(new DOMException('Time is up.', 'TimeoutError')), ms);
  if (outer) allowMany(outer);
  if (outer?.aborted) pass();
  else outer?.addEventListener('abort', pass, { once: true });
  try {
    return await work(inner.signal);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', pass);
  }
}
