// What lives here: from any thrown value to a Failure, by walking what real drivers throw.
// Invariant: total and pure; the most specific fact wins (own code, SQLSTATE, errno, HTTP status, driver message), and what no rule knows is `unknown`.
// Apart because it is usable alone: `classify(error)` needs nothing of Mendflow around it.
import { type Code, CodedError, codes, type Failure, failure, isCode } from './failure.ts';

/** Errno and library codes, as Node, undici and pg put them in `error.code`. */
const byCode: Readonly<Record<string, Code>> = {
  ENOENT: 'file_missing',
  ENOTDIR: 'file_not_regular',
  EISDIR: 'file_not_regular',
  ELOOP: 'file_not_regular',
  EACCES: 'file_forbidden',
  EPERM: 'file_forbidden',
  EBUSY: 'file_busy',
  EAGAIN: 'file_busy',
  ETXTBSY: 'file_busy',
  ESTALE: 'file_busy',
  EIO: 'file_io',
  ENOSPC: 'disk_full',
  EDQUOT: 'disk_full',
  EMFILE: 'files_open_max',
  ENFILE: 'files_open_max',
  ECONNREFUSED: 'net_refused',
  ECONNRESET: 'net_reset',
  EPIPE: 'net_reset',
  ECONNABORTED: 'net_reset',
  ETIMEDOUT: 'net_timeout',
  EHOSTUNREACH: 'net_unreachable',
  ENETUNREACH: 'net_unreachable',
  EHOSTDOWN: 'net_unreachable',
  ENETDOWN: 'net_unreachable',
  EAI_AGAIN: 'dns_again',
  ENOTFOUND: 'dns_unknown',
  UND_ERR_CONNECT_TIMEOUT: 'net_timeout',
  UND_ERR_HEADERS_TIMEOUT: 'net_timeout',
  UND_ERR_BODY_TIMEOUT: 'net_timeout',
  UND_ERR_SOCKET: 'net_reset',
};

/** Whole SQLSTATEs first, then their class (two characters). */
const bySqlState: Readonly<Record<string, Code>> = {
  MF001: 'fenced',
  '08P01': 'pg_connection_lost',
  '25006': 'pg_readonly',
  '25P03': 'pg_timeout',
  '25P04': 'pg_timeout',
  '57014': 'pg_timeout',
  '57P01': 'pg_connection_lost',
  '57P02': 'pg_connection_lost',
  '57P03': 'pg_starting',
  '57P04': 'pg_auth',
  '57P05': 'pg_connection_lost',
  '55P03': 'pg_conflict',
  '55006': 'pg_conflict',
  '40002': 'record_refused',
  '3D000': 'pg_auth',
  '42501': 'pg_auth',
  '42P01': 'pg_schema',
  '42703': 'pg_schema',
  '42704': 'pg_schema',
  '42804': 'pg_schema',
  '42883': 'pg_schema',
  '42P10': 'pg_schema',
  '3F000': 'pg_schema',
  '26000': 'pg_connection_lost',
  '21000': 'pg_statement',
  '08': 'pg_connection_lost',
  '22': 'record_refused',
  '23': 'record_refused',
  '44': 'record_refused',
  '40': 'pg_conflict',
  '28': 'pg_auth',
  '42': 'pg_statement',
  '53': 'pg_resources',
  '54': 'pg_statement',
  '58': 'pg_resources',
  XX: 'pg_corrupt',
};

/** What pg says without any code; exact beginnings, because the driver has nothing better. */
const byMessage: ReadonlyArray<readonly [RegExp, Code]> = [
  [/^Connection terminated unexpectedly/, 'pg_connection_lost'],
  [/^Connection terminated/, 'pg_connection_lost'],
  [/^Client has encountered a connection error/, 'pg_connection_lost'],
  [/^timeout exceeded when trying to connect/, 'pg_pool_spent'],
  [/^timeout expired/, 'pg_unreachable'],
  [/^Query read timeout/, 'pg_timeout'],
  [/^(fetch failed|terminated)$/, 'net_reset'],
];

const httpStatuses = new Set(
  Object.keys(codes).flatMap((code) => (/^http_\d{3}$/.test(code) ? [Number(code.slice(5))] : [])),
);
const programmingErrors = new Set([
  'TypeError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'AssertionError',
  'ZodError',
]);
const SEEN_MAX = 100;

/** Names any error. Wrapping in causes or an AggregateError never changes the answer. */
export function classify(error: unknown): Failure {
  const known = search(error, new Set());
  if (known) return known;
  if (error instanceof Error && programmingErrors.has(error.name))
    return failure('code_bug', `${error.name} in the code of the stage.`, { rule: `name:${error.name}` });
  return failure('unknown', `${nameOf(error)} that no rule knows.`, { rule: 'none' });
}

/** Each object is looked at once and only so many in all: an error may be its own cause, or hold a thousand others. */
function search(error: unknown, seen: Set<object>): Failure | undefined {
  if (error === null || typeof error !== 'object' || seen.size >= SEEN_MAX || seen.has(error)) return undefined;
  seen.add(error);
  if (error instanceof CodedError) return error.failure;
  const shape = error as {
    code?: unknown;
    statusCode?: unknown;
    status?: unknown;
    message?: unknown;
    cause?: unknown;
    errors?: unknown;
    syscall?: unknown;
    name?: unknown;
    type?: unknown;
    nonRetryable?: unknown;
  };
  const own = ownRule(shape);
  if (own) return own;
  // What is below knows more than a library's general words, such as "fetch failed" around a refused connection.
  const below = Array.isArray(shape.errors) ? [...(shape.errors as unknown[]), shape.cause] : [shape.cause];
  for (const inner of below) {
    const found = search(inner, seen);
    if (found) return found;
  }
  return wordsRule(shape);
}

/** What only a name or a message tells. */
function wordsRule({ name, message }: { name?: unknown; message?: unknown }): Failure | undefined {
  if (name === 'TimeoutError') return failure('net_timeout', codes.net_timeout.says, { rule: 'name:TimeoutError' });
  if (typeof message === 'string')
    for (const [pattern, named] of byMessage)
      if (pattern.test(message)) return failure(named, codes[named].says, { rule: `message:${pattern.source}` });
  return undefined;
}

function ownRule(shape: {
  code?: unknown;
  statusCode?: unknown;
  status?: unknown;
  syscall?: unknown;
  type?: unknown;
  nonRetryable?: unknown;
}): Failure | undefined {
  const { code } = shape;
  if (typeof code === 'string') {
    const errno = Object.hasOwn(byCode, code) ? byCode[code] : undefined;
    if (errno)
      return failure(
        errno,
        `${codes[errno].says} (${code}${typeof shape.syscall === 'string' ? ` in ${shape.syscall}` : ''})`,
        { rule: `code:${code}` },
      );
    if (/^[0-9A-Z]{5}$/.test(code)) {
      const sql = bySqlState[code] ?? bySqlState[code.slice(0, 2)];
      if (sql) return failure(sql, `${codes[sql].says} (SQLSTATE ${code})`, { rule: `sqlstate:${code}` });
    }
  }
  const status = typeof shape.statusCode === 'number' ? shape.statusCode : shape.status;
  const http = typeof status === 'number' ? codeOfStatus(status) : undefined;
  if (http) return failure(http, `${codes[http].says} (HTTP ${String(status)})`, { rule: `status:${String(status)}` });
  return ownWord(shape);
}

/** Statuses without a row of their own behave as their family does, but for 425, which asks to come back. */
function codeOfStatus(status: number): Code | undefined {
  if (httpStatuses.has(status)) return `http_${status}` as Code;
  if (status === 425) return 'http_503';
  if (!Number.isInteger(status)) return undefined;
  return status >= 400 && status < 500 ? 'http_400' : status >= 500 && status < 600 ? 'http_500' : undefined;
}

/** An activity written for Temporal alone says with its ApplicationFailure that it is final; its type may be one of our codes. */
function ownWord({ type, nonRetryable }: { type?: unknown; nonRetryable?: unknown }): Failure | undefined {
  if (nonRetryable !== true) return undefined;
  const code = isCode(type) ? type : 'declared_final';
  return failure(code, codes[code].says, { rule: 'nonRetryable' });
}

const nameOf = (error: unknown): string =>
  error instanceof Error
    ? /^[\w.]{1,60}$/.test(error.name)
      ? error.name
      : 'An error'
    : `A thrown ${error === null ? 'null' : typeof error}`;
