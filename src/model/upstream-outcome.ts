// What lives here: what the end of a call says about the upstream.
// Invariant: pure; only an answer proves an upstream up, only its own fault counts against it, and our own doing says nothing.
// Apart because it is the one table between failures and breakers, and `explain` reads it as the calls do.
import { type Code, type Failure, rowOf } from './failure.ts';

export type Outcome =
  /** It was answered: a 404 and a bad record are answers too. */
  | { readonly kind: 'ok' }
  | { readonly kind: 'fail'; readonly code: Code; readonly waitMs: number }
  /** Keeps everybody away for a while; not counted. */
  | { readonly kind: 'throttled'; readonly gateMs: number }
  /** Only people can heal it. */
  | { readonly kind: 'held'; readonly code: Code }
  | { readonly kind: 'ignored' };

/** Runbooks of failures that the other side itself has answered with. */
const answered: ReadonlySet<string> = new Set([
  'upstream-down',
  'upstream-refuses',
  'upstream-answers',
  'credentials',
  'postgres',
  'postgres-schema',
  'records',
]);
/** Of others' fault and still answered: another transaction or an older attempt of ours is in the way, the database itself is well. */
const inTheWay: ReadonlySet<Code> = new Set<Code>(['pg_conflict', 'lease_held']);
/** A 429 that does not say how long. */
const GATE_MS = 10_000;

export function outcomeOf(failed: Failure): Outcome {
  const { runbook } = rowOf(failed.code);
  // Another breaker refused: this upstream was not even asked.
  if (failed.code === 'breaker_open' || failed.fault === 'self' || failed.class === 'unknown')
    return { kind: 'ignored' };
  if (failed.class === 'throttled') return { kind: 'throttled', gateMs: failed.nextDelayMs ?? GATE_MS };
  // Of the config faults only those that meet every caller alike; a missing table is a matter of one pipeline.
  if (
    failed.class === 'permanent' &&
    failed.fault === 'config' &&
    (runbook === 'credentials' || failed.code === 'pg_auth')
  )
    return { kind: 'held', code: failed.code };
  if (
    failed.fault === 'upstream' &&
    (failed.class === 'transient' || failed.class === 'delayed') &&
    !inTheWay.has(failed.code)
  )
    return { kind: 'fail', code: failed.code, waitMs: failed.nextDelayMs ?? 0 };
  return { kind: answered.has(runbook) ? 'ok' : 'ignored' };
}
