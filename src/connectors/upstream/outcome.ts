// What lives here: what the end of a call says about the upstream.
// Invariant: pure; only an answer proves an upstream up, only its own fault counts against it, and our own doing says nothing.
// Apart because it is the one table between failures and breakers.
import { classify } from '../../model/classify.ts';
import { type Code, codes, CodedError, type Failure, rowOf } from '../../model/failure.ts';
import type { Upstream } from '../../model/upstream.ts';

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

/**
 * The failure as its caller sees it: by the upstream's own codes, and with its name. One of another upstream stays as it is, and so does one
 * of our own: no upstream is to blame for it, and what it says has to be done again must not be lost.
 */
export function named(error: unknown, key: string, declared: Upstream): CodedError {
  const failed = classify(error);
  if (error instanceof CodedError && failed.upstream !== undefined && failed.upstream !== key) return error;
  const code = declared.codes?.[failed.code] ?? failed.code;
  if (error instanceof CodedError && failed.fault === 'self' && code === failed.code) return error;
  const text = code !== failed.code && failed.text === codes[failed.code].says ? codes[code].says : failed.text;
  const shown = new CodedError(code, text, {
    cause: error,
    upstream: key,
    // Whether it happened was told by the phase of the call. Another code has a certainty of its own, but a doubt stays a doubt.
    ...(declared.undone?.includes(failed.code) === true
      ? { commit: 'no' }
      : code === failed.code || failed.commit === 'unknown'
        ? { commit: failed.commit }
        : {}),
    ...(failed.nextDelayMs === undefined ? {} : { nextDelayMs: failed.nextDelayMs }),
  });
  return failed.rule === undefined ? shown : Object.assign(shown, { failure: { ...shown.failure, rule: failed.rule } });
}
