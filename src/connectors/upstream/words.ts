// What lives here: what a call is told that is not admitted.
// Invariant: state, why, and when it is tried again; no call was made, and the text says so. It is kept and read later, so it names moments and no spans.
// Apart because people read it in the Web UI for hours while an upstream is down.
import type { Look } from '../../model/breaker.ts';
import type { Cause } from '../../model/breaker-evidence.ts';
import { CodedError } from '../../model/failure.ts';
import type { Entry } from './cache.ts';

/** The refusal, to be thrown. */
export function refusal(entry: Entry, look: Pick<Look, 'why' | 'retryMs'>): CodedError {
  const text = `${sentence(entry, look)} See: npx mendflow breakers show ${entry.key}`;
  return new CodedError('breaker_open', text, {
    upstream: entry.key,
    nextDelayMs: look.retryMs,
    ...(look.why === 'hold' && entry.b.hold ? { held: entry.b.hold.code } : {}),
  });
}

function sentence({ key, b, about, cause }: Entry, { why, retryMs }: Pick<Look, 'why' | 'retryMs'>): string {
  const next = new Date(Date.now() + retryMs).toISOString();
  switch (why) {
    case 'forced_open':
      return `${key} is forced open by ${about.modeBy ?? 'an operator'} (${about.modeWhy ?? 'no reason given'}); no call was made.${b.modeUntil === undefined ? '' : ` It ends at ${next}.`}`;
    case 'throttled':
      return `${key} asked everybody to wait; no call was made. The next may go out at ${next}.`;
    case 'hold':
      return `${key} is held (${b.hold?.code ?? 'a fault that time does not heal'}); no call was made. It goes on when its credential is renewed or the run that asks is decided with retry.`;
    case 'half_open':
      return `${key} is on trial with a single call${last(about.cause ?? cause, ' after ')}; no other was made. Looked at again at ${next}.`;
    case 'open':
    case 'closed':
    case 'ramping':
      return `The breaker of ${key} is open${reason(about, cause)}; no call was made. The next trial is at ${next}.`;
  }
}

function reason({ last: { reason: why, detail = {} }, cause }: Entry['about'], own: Cause | undefined): string {
  const { calls, fail, slow } = detail;
  const failed = (detail['cause'] as Cause | undefined) ?? cause ?? own;
  if (why === 'threshold')
    return Number(fail) > 0
      ? ` (${String(fail)} of ${String(calls)} calls failed${last(failed, ', the last with ')})`
      : ` (${String(slow)} of ${String(calls)} calls were slow)`;
  if (why === undefined || why === 'hold') return last(failed, ' after ');
  return ` (${why}${last(failed, ': ')})`;
}

/** `http_503 from 127.0.0.1:8080` */
const last = (cause: Cause | undefined, before: string): string =>
  cause === undefined ? '' : `${before}${cause.code}${cause.at === undefined ? '' : ` from ${cause.at}`}`;
