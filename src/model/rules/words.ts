// What lives here: what only a name, a kind of time-out or the beginning of a message tells.
// Invariant: patterns are anchored or are whole phrases of a driver's source, because a message may quote a record.
// Apart because it is asked last, and because words change with any release of a driver: each has a real error in the golden file.
import type { Code, Commit } from '../failure.ts';
import { type Rule, rules } from './rule.ts';

/** By `error.name`, or by the type of an ApplicationFailure, which keeps the name. */
export const nameRules: readonly Rule[] = [
  ...rules('net_timeout', 'TimeoutError HeadersTimeoutError BodyTimeoutError'),
  ...rules('net_timeout', 'ConnectTimeoutError', { commit: 'no' }),
  ...rules('net_reset', 'SocketError', { weak: true }),
  ...rules('cancelled', 'AbortError CancelledFailure', { weak: true }),
  ...rules('code_bug', 'TypeError RangeError ReferenceError SyntaxError EvalError URIError AssertionError ZodError', {
    weak: true,
  }),
];

/** By the kind of a time-out that Temporal reports. */
export const timeoutRules: readonly Rule[] = [
  ...rules('worker_lost', 'HEARTBEAT'),
  ...rules('attempt_timeout', 'START_TO_CLOSE'),
  ...rules('no_worker', 'SCHEDULE_TO_START'),
  ...rules('deadline', 'SCHEDULE_TO_CLOSE'),
];

export interface WordRule {
  readonly pattern: RegExp;
  readonly code: Code;
  readonly commit?: Commit;
  readonly weak?: true;
  /** Only if the error has this name. */
  readonly name?: string;
}

/** By message, first match. */
export const wordRules: readonly WordRule[] = [
  { pattern: /^Connection terminated due to connection timeout/, code: 'pg_unreachable' },
  { pattern: /^Connection terminated/, code: 'pg_connection_lost' },
  { pattern: /^Client has encountered a connection error/, code: 'pg_connection_lost' },
  { pattern: /^Client was closed and is not queryable/, code: 'pg_connection_lost' },
  { pattern: /^timeout exceeded when trying to connect/, code: 'pg_pool_spent' },
  { pattern: /^timeout expired/, code: 'pg_unreachable' },
  { pattern: /^Query read timeout/, code: 'pg_timeout' },
  { pattern: /^Cannot use a pool after calling end/, code: 'code_bug' },
  { pattern: /^The server does not support SSL connections/, code: 'pg_auth' },
  { pattern: /^SASL: /, code: 'pg_auth' },
  { pattern: /^Client network socket disconnected before secure TLS/, code: 'net_reset', commit: 'no' },
  {
    pattern:
      /^(certificate (has expired|is not yet valid)|self-signed certificate|unable to verify the first certificate|Hostname\/IP does not match)/,
    code: 'tls_invalid',
  },
  { pattern: /^redirect count exceeded$/, code: 'redirect_refused' },
  { pattern: /^(bad port|unknown scheme)$/, code: 'config_invalid' },
  { pattern: /^Unexpected end of JSON input$/, code: 'answer_cut', name: 'SyntaxError' },
  {
    pattern: /^(Unexpected|Expected|Unterminated|Bad|No|Exponent) .*\bJSON\b/s,
    code: 'answer_unreadable',
    name: 'SyntaxError',
  },
  { pattern: /^(fetch failed|terminated)$/, code: 'net_reset', weak: true },
  { pattern: /^unexpected end of file$/, code: 'answer_cut' },
];

/** Node writes `connect ECONNREFUSED 127.0.0.1:5432` and `ENOENT: no such file…`; of an error that lost its code this is left. */
export const errnoInMessage =
  /^(?:request to \S+ failed, reason: )?(?:(connect|read|write|bind|spawn|getaddrinfo|query\w*)(?: \S+)? )?(E[A-Z0-9_]{3,})\b/;
