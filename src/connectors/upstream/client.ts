// What lives here: `call`: admitted or refused, paced, run under a hard end, named, and told.
// Invariant: each admitted call is told exactly once, whatever becomes of it; its result is its caller's, even if the breaker cannot use it any more.
// Apart because it is the one path that every call of every connector takes.
import { randomUUID } from 'node:crypto';
import { lookAt, type Pass } from '../../model/breaker.ts';
import { ms } from '../../model/duration.ts';
import { CodedError } from '../../model/failure.ts';
import { succeed } from '../../model/retry-budget.ts';
import { CALLS_PER_SECOND, timeoutMsOf } from '../../model/upstream.ts';
import { type Outcome, outcomeOf } from '../../model/upstream-outcome.ts';
import { acquireBreaker } from '../../store/breaker-calls.ts';
import { untilAborted } from '../abort.ts';
import { callerNow } from '../caller.ts';
import { printOf } from '../secret.ts';
import type { Cache, Entry } from './cache.ts';
import { named } from './named.ts';
import { turn } from './pace.ts';
import { causeOf, countBad, countOk, countSlow, type Leave, nameOf, tell } from './report.ts';
import type { CallOptions, UpstreamClient } from './types.ts';
import { refusal } from './words.ts';

/** After a no to a trial the store is not asked again for so long. */
const REFUSED_MS = 250;
/** Work whose time is up may say so itself within this time; then it is left behind. */
const GRACE_MS = 250;

export function upstreamClient(cache: Cache, entry: Entry): UpstreamClient {
  const { key, declared } = entry;
  const timeoutMs = timeoutMsOf(declared);
  const slowMs = declared.slow === undefined ? timeoutMs : ms(declared.slow);
  return {
    key,
    declared,
    async call(work, options = {}) {
      options.signal?.throwIfAborted();
      let leave = admitNow(cache, entry, options) ?? (await askToGo(cache, entry, options));
      const callsPerSecond = paceOf(entry);
      if (callsPerSecond !== undefined) leave = await inPace(cache, entry, leave, callsPerSecond, options);
      return await run(cache, entry, { ...leave, by: callerNow() }, work, options, { timeoutMs, slowMs });
    },
  };
}

/** Undeclared, calls are only paced while an upstream comes back. */
const paceOf = ({ b, declared }: Entry): number | undefined =>
  declared.callsPerSecond ?? (b.state === 'ramping' ? CALLS_PER_SECOND : undefined);

const NO_PASS: Pass = {};
const passOf = (cache: Cache, { b, declared }: Entry, { decided }: CallOptions): Pass =>
  b.hold ? { print: printOf(declared.headers, cache.readSecret), decided } : NO_PASS;

/** The answer of the copy, without any waiting: what a call pays while nothing is wrong. */
export function admitNow(cache: Cache, entry: Entry, options: CallOptions): Leave | undefined {
  const look = lookAt(entry.b, cache.now(), passOf(cache, entry, options));
  if (look.admit) return look.trial ? undefined : { epoch: entry.b.epoch, era: entry.era };
  if (look.why !== 'half_open' && !look.stale) throw refusal(entry, look);
  if (entry.refusedUntil > cache.now())
    throw refusal(entry, { why: 'half_open', retryMs: entry.refusedUntil - cache.now() });
}

/** Asks the store for a trial; without it, the local breaker. */
async function askToGo(cache: Cache, entry: Entry, options: CallOptions): Promise<Leave> {
  const { key } = entry;
  const pass = passOf(cache, entry, options);
  const { era } = entry;
  const answer = await cache.ask(
    (db) => acquireBreaker(db, key, cache.worker, pass.print, pass.decided === true),
    // A trial that was granted to a caller who did not wait for it goes back.
    ({ token, epoch }) => {
      if (token !== undefined) void tell(cache, entry, { epoch, era: entry.era, token }, {});
    },
  );
  if (!answer) return askAlone(cache, entry, options);
  if (answer.epoch !== entry.b.epoch) await cache.refresh([key]);
  if (!answer.allow) {
    entry.refusedUntil = cache.now() + Math.min(answer.retryMs, REFUSED_MS);
    throw refusal(entry, answer);
  }
  return { epoch: answer.epoch, era, ...(answer.token === undefined ? {} : { token: answer.token }) };
}

function askAlone(cache: Cache, entry: Entry, options: CallOptions): Leave {
  const event = { type: 'acquire', token: randomUUID(), ...passOf(cache, entry, options) } as const;
  const { look, epoch, token } = cache.step(entry, event);
  if (look?.admit !== true) throw refusal(entry, look ?? { why: 'open', retryMs: 0 });
  return { epoch, era: entry.era, ...(token === undefined ? {} : { token }) };
}

/** Waits for a slot. Whoever waited asks again, but for a trial, which is his: the breaker may have opened meanwhile. */
async function inPace(
  cache: Cache,
  entry: Entry,
  leave: Leave,
  callsPerSecond: number,
  options: CallOptions,
): Promise<Leave> {
  try {
    await turn(cache, entry, callsPerSecond, options.signal);
  } catch (error) {
    await settle(cache, entry, leave, { kind: 'ignored' }, false);
    throw error;
  }
  if (leave.token !== undefined) return leave;
  return admitNow(cache, entry, options) ?? (await askToGo(cache, entry, options));
}

async function run<T>(
  cache: Cache,
  entry: Entry,
  leave: Leave,
  work: (signal: AbortSignal) => Promise<T>,
  options: CallOptions,
  limits: { timeoutMs: number; slowMs: number },
): Promise<T> {
  let slow = false;
  let print: string | undefined;
  // Only the end of a trial decides, so nobody has to know that it is slow.
  const watch = leave.token === undefined && limits.slowMs < limits.timeoutMs;
  const clock = watch
    ? setTimeout(() => {
        slow = true;
        countSlow(cache, entry, leave);
      }, limits.slowMs)
    : undefined;
  try {
    // It may have been stopped while it waited for the store or for its slot; a signal tells its listeners only once.
    options.signal?.throwIfAborted();
    // Read before anything is sent: a credential that is renewed while the answer is on its way was not the refused one.
    print = printOf(entry.declared.headers, cache.readSecret);
    const result = await toTheEnd(entry.key, work, options.signal, limits.timeoutMs);
    entry.budget = succeed(entry.budget);
    if (leave.token === undefined) countOk(cache, entry, leave, slow);
    else await settle(cache, entry, leave, { kind: 'ok' }, slow);
    return result;
  } catch (error) {
    const { signal } = options;
    if (signal?.aborted === true) {
      await settle(cache, entry, leave, { kind: 'ignored' }, slow);
      throw signal.reason instanceof Error ? signal.reason : error;
    }
    const shown = named(error, entry.key, entry.declared);
    const ours = shown.failure.upstream === entry.key;
    const outcome: Outcome = ours ? outcomeOf(shown.failure) : { kind: 'ignored' };
    const effect = await settle(cache, entry, leave, outcome, slow, print);
    // One run asks about a credential; all others that meet the same refusal wait for its answer.
    if (outcome.kind === 'held' && effect !== 'held' && effect !== 'unheld')
      throw refusal(entry, { why: entry.b.hold ? 'hold' : 'open', retryMs: entry.b.settings.cooldownMs });
    throw shown;
  } finally {
    clearTimeout(clock);
  }
}

/** Tells how it ended. Waits for the breaker where the next call depends on it, and never longer than a moment. */
async function settle(
  cache: Cache,
  entry: Entry,
  leave: Leave,
  outcome: Outcome,
  slow: boolean,
  print?: string,
): Promise<string | undefined> {
  if (outcome.kind === 'held')
    return await tell(cache, entry, leave, { hold: outcome.code, print, cause: causeOf(entry, leave, outcome.code) });
  if (leave.token !== undefined)
    return await tell(cache, entry, leave, {
      ...(outcome.kind === 'ok' ? { ok: 1, okBy: nameOf(leave) } : {}),
      fail: outcome.kind === 'fail' ? 1 : 0,
      ...(outcome.kind === 'fail' ? { waitMs: outcome.waitMs, cause: causeOf(entry, leave, outcome.code) } : {}),
      ...(outcome.kind === 'throttled' ? { gateMs: outcome.gateMs } : {}),
    });
  if (outcome.kind === 'ok') countOk(cache, entry, leave, slow);
  else if (outcome.kind === 'fail')
    await countBad(cache, entry, leave, slow, { failed: outcome.code, waitMs: outcome.waitMs });
  else if (outcome.kind === 'throttled') await countBad(cache, entry, leave, slow, { gateMs: outcome.gateMs });
  else if (slow) await countBad(cache, entry, leave, slow, {});
}

/**
 * Runs the work until it ends or time is up; then work that does not end when told to is left behind. A caller who stops it gets its
 * end, too: what still writes while its caller has gone on would meet its own successor.
 */
async function toTheEnd<T>(
  key: string,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<T> {
  const stop = new AbortController();
  const hard = new AbortController();
  let grace: NodeJS.Timeout | undefined;
  const stopped = (): void => stop.abort(signal!.reason);
  signal?.addEventListener('abort', stopped, { once: true });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    const reason = new DOMException(`${key} did not answer within ${timeoutMs} ms.`, 'TimeoutError');
    stop.abort(reason);
    grace = setTimeout(() => hard.abort(reason), GRACE_MS);
  }, timeoutMs);
  try {
    return await untilAborted(work(stop.signal), hard.signal);
  } catch (error) {
    // Work that was stopped in time knows more, such as how far it came; else this is all there is to say.
    if (late && !(error instanceof CodedError))
      throw new CodedError('net_timeout', `${key} did not answer within ${timeoutMs} ms.`, {
        upstream: key,
        cause: error,
      });
    throw error;
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
    signal?.removeEventListener('abort', stopped);
  }
}
