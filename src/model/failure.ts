// What lives here: every failure Mendflow knows, one row each, and the value that travels when one happens.
// Invariant: a code has one class and fault for ever, read from this table and nowhere else. So is commit certainty, but where a rule knows more:
// a connection that was cut before the first byte of the request is sent has changed nothing. `no` is said only where the protocol or our own
// hand proves it: a gateway that says 429, 503 or 507 may say so of the second half of what was asked.
// Apart because everything imports it: connectors raise codes, the guard counts by class, the engine parks by class, people read `says`.

import { type Commit, type FailureClass, type Fault, type Row, row } from './code-row.ts';

export type { Commit, FailureClass, Fault } from './code-row.ts';

/** The table: code → row. `nonRetryableErrorTypes`, `explain`, alerts and runbooks are derived from it. */
export const codes = {
  // Files
  file_missing: row('permanent', 'call', 'no', 'files', 'The file or folder does not exist.'),
  file_vanished: row('permanent', 'call', 'no', 'files', 'The file was there when the run listed it and is gone now.'),
  file_forbidden: row('permanent', 'config', 'no', 'files', 'The worker may not read the file or folder.'),
  file_not_regular: row('permanent', 'config', 'no', 'files', 'The path is not a regular file or a folder.'),
  file_not_text: row(
    'permanent',
    'call',
    'no',
    'files',
    'The file is an archive, is compressed or encoded in a way that is not read, or is no text.',
  ),
  file_busy: row('transient', 'self', 'no', 'files', 'The file is busy or was moved under the reader.'),
  file_exists: row('permanent', 'call', 'no', 'files', 'A file or folder of that name is there already.'),
  file_io: { ...row('transient', 'self', 'unknown', 'files', 'The disk reported an error.'), triesMax: 2 },
  disk_full: row('delayed', 'self', 'unknown', 'disk', 'There is no space left on the device.'),
  files_open_max: row('delayed', 'self', 'no', 'files', 'The process has no file descriptors left.'),
  source_shrunk: row(
    'permanent',
    'call',
    'no',
    'sources',
    'The source holds fewer bytes than the run planned to read.',
  ),
  source_rewritten: row(
    'permanent',
    'call',
    'no',
    'sources',
    'The source has the name of one loaded before and other bytes where they were.',
  ),
  rows_fewer: row(
    'permanent',
    'code',
    'rolled-back',
    'sources',
    'Loading again would leave fewer rows than there were.',
  ),
  rows_twice: row('permanent', 'code', 'rolled-back', 'sources', 'It would load what another run has loaded.'),
  record_too_long: row('data', 'record', 'no', 'records', 'A record is longer than the declared limit.'),
  // Records
  record_invalid: row('data', 'record', 'no', 'records', 'A record does not fit the declared schema.'),
  record_refused: row('data', 'record', 'rolled-back', 'records', 'The database refused a record.'),
  record_early: {
    ...row('delayed', 'record', 'rolled-back', 'records', 'A record refers to another one that is not there yet.'),
    triesMax: 4,
  },
  crash_suspect: row('data', 'record', 'unknown', 'records', 'A record was in flight each time a worker died.'),
  quarantine_limit: row(
    'permanent',
    'record',
    'rolled-back',
    'quarantine-limit',
    'More records were bad than the stage allows.',
  ),
  // Postgres
  pg_unreachable: row('transient', 'upstream', 'no', 'postgres', 'The database cannot be reached.'),
  pg_connection_lost: row('transient', 'upstream', 'unknown', 'postgres', 'The connection to the database was lost.'),
  pg_commit_unknown: row(
    'transient',
    'upstream',
    'unknown',
    'postgres',
    'The database did not answer to COMMIT; whether the chunk is in is settled before the next write.',
  ),
  pg_starting: {
    ...row('delayed', 'upstream', 'no', 'postgres', 'The database is starting up or shutting down.'),
    firstWaitMs: 1_000,
  },
  pg_timeout: row('transient', 'upstream', 'unknown', 'postgres', 'The database did not answer in time.'),
  pg_conflict: row('transient', 'upstream', 'rolled-back', 'postgres', 'Another transaction was in the way.'),
  pg_pool_spent: {
    ...row('delayed', 'self', 'no', 'postgres', 'All connections of the pool are in use.'),
    firstWaitMs: 1_000,
  },
  pg_resources: row(
    'delayed',
    'upstream',
    'rolled-back',
    'postgres',
    'The database is out of memory, disk or connections.',
  ),
  pg_io: {
    ...row('delayed', 'upstream', 'unknown', 'postgres', 'The database could not read or write its own files.'),
    triesMax: 3,
  },
  pg_cancelled: row('transient', 'self', 'rolled-back', 'postgres', 'Somebody cancelled the statement.'),
  pg_auth: row('permanent', 'config', 'no', 'postgres', 'The database refused the login.'),
  pg_forbidden: row('permanent', 'config', 'rolled-back', 'postgres', 'The role may not do this in the database.'),
  pg_schema: row(
    'permanent',
    'config',
    'rolled-back',
    'postgres-schema',
    'A table, column or type is not as declared.',
  ),
  pg_statement: row(
    'permanent',
    'code',
    'rolled-back',
    'postgres-schema',
    'The database refused a statement as wrong.',
  ),
  pg_corrupt: row('permanent', 'upstream', 'unknown', 'postgres', 'The database reports damaged data.'),
  pg_readonly: row('transient', 'upstream', 'rolled-back', 'postgres', 'The server is a standby or read only.'),
  sink_unsafe: row(
    'permanent',
    'config',
    'no',
    'postgres-schema',
    'The sink cannot give exactly-once: pooler in between, deferrable constraint, rule or row security.',
  ),
  rows_dropped: row(
    'permanent',
    'config',
    'rolled-back',
    'postgres-schema',
    'The table took fewer rows than were sent.',
  ),
  fenced: row('transient', 'self', 'rolled-back', 'workers', 'A newer attempt has taken over this stage.'),
  lease_held: row(
    'delayed',
    'upstream',
    'no',
    'workers',
    'The connection of an earlier attempt could not be ended, so nothing may be written yet.',
  ),
  ledger_conflict: row(
    'transient',
    'self',
    'rolled-back',
    'workers',
    'The range is already in the ledger in another shape; the plan is made again.',
  ),
  run_unbalanced: row('permanent', 'code', 'no', 'balance', 'The ledger of the run does not add up.'),
  run_closed: row('permanent', 'call', 'no', 'workers', 'The run is closed; nothing may be added to it.'),
  // Network
  net_refused: row('transient', 'upstream', 'no', 'upstream-down', 'The connection was refused.'),
  net_reset: row('transient', 'upstream', 'unknown', 'upstream-down', 'The connection was cut.'),
  net_timeout: row('transient', 'upstream', 'unknown', 'upstream-down', 'The other side did not answer in time.'),
  net_unreachable: row(
    'transient',
    'upstream',
    'unknown',
    'upstream-down',
    'The network does not reach the other side.',
  ),
  net_forbidden: row('permanent', 'config', 'no', 'configuration', 'This machine does not let the worker connect.'),
  dns_again: row('transient', 'upstream', 'no', 'upstream-down', 'The name server could not answer now.'),
  dns_failed: row('delayed', 'upstream', 'no', 'upstream-down', 'The name server failed.'),
  dns_unknown: { ...row('delayed', 'upstream', 'no', 'upstream-down', 'The name does not exist.'), triesMax: 3 },
  tls_failed: {
    ...row('transient', 'upstream', 'unknown', 'upstream-down', 'No encrypted connection came about.'),
    triesMax: 2,
  },
  breaker_open: row(
    'delayed',
    'upstream',
    'no',
    'upstream-down',
    'The breaker of the upstream admits no call now, so none was made.',
  ),
  // Commands
  command_failed: row(
    'permanent',
    'code',
    'unknown',
    'commands',
    'The command ended with a code that is not declared as retryable.',
  ),
  command_again: row(
    'transient',
    'upstream',
    'unknown',
    'commands',
    'The command ended with a code declared as retryable.',
  ),
  command_missing: row('permanent', 'config', 'no', 'commands', 'The command is not installed or may not be run.'),
  // HTTP statuses whose class or advice is their own; the others belong to one of these (rules/http.ts)
  http_400: row('permanent', 'code', 'no', 'upstream-refuses', 'The upstream calls the request wrong.'),
  http_401: row('permanent', 'config', 'no', 'credentials', 'The upstream does not accept the credential.'),
  http_402: row('permanent', 'config', 'no', 'credentials', 'The upstream wants to be paid first.'),
  http_403: row('permanent', 'config', 'no', 'credentials', 'The upstream does not permit this.'),
  http_404: row('permanent', 'call', 'no', 'upstream-refuses', 'The upstream does not have this.'),
  http_407: row('permanent', 'config', 'no', 'credentials', 'The proxy does not accept the credential.'),
  http_408: row('transient', 'upstream', 'unknown', 'upstream-down', 'The upstream gave up waiting for the request.'),
  http_409: row('permanent', 'call', 'no', 'upstream-refuses', 'The upstream holds something that contradicts this.'),
  http_409_in_progress: row(
    'transient',
    'call',
    'unknown',
    'upstream-refuses',
    'The upstream is still working on the same call.',
  ),
  http_410: row('permanent', 'call', 'no', 'upstream-refuses', 'The upstream had this once and never will again.'),
  http_412: {
    ...row('transient', 'call', 'no', 'upstream-refuses', 'What the call builds on was changed meanwhile.'),
    triesMax: 2,
  },
  http_413: row('permanent', 'code', 'no', 'upstream-refuses', 'The request is larger than the upstream takes.'),
  http_416: {
    ...row('transient', 'call', 'unknown', 'upstream-refuses', 'The upstream has not the part that was asked for.'),
    triesMax: 2,
  },
  http_421: row('transient', 'upstream', 'no', 'upstream-down', 'The call reached a server that does not serve it.'),
  http_423: row('delayed', 'call', 'unknown', 'upstream-refuses', 'What the call wants is locked by another.'),
  http_425: row('transient', 'upstream', 'no', 'upstream-down', 'The upstream did not want the call so early.'),
  http_404_not_yet: row('delayed', 'call', 'no', 'upstream-refuses', 'The upstream does not have this yet.'),
  http_429: row('throttled', 'upstream', 'unknown', 'upstream-down', 'The upstream asks for fewer calls.'),
  http_451: row('permanent', 'call', 'no', 'upstream-refuses', 'The upstream may not show this, by law.'),
  http_500: row('transient', 'upstream', 'unknown', 'upstream-down', 'The upstream failed inside.'),
  http_501: row('permanent', 'code', 'no', 'upstream-refuses', 'The upstream does not implement this.'),
  http_502: row('transient', 'upstream', 'unknown', 'upstream-down', 'A gateway got no good answer from the upstream.'),
  http_503: row('transient', 'upstream', 'unknown', 'upstream-down', 'The upstream is not available.'),
  http_503_retry_after: row(
    'delayed',
    'upstream',
    'unknown',
    'upstream-down',
    'The upstream is not available and says when to come back.',
  ),
  http_504: row('transient', 'upstream', 'unknown', 'upstream-down', 'A gateway waited too long for the upstream.'),
  http_507: row('delayed', 'upstream', 'unknown', 'upstream-down', 'The upstream is out of room, quota or capacity.'),
  http_511: row('permanent', 'config', 'no', 'configuration', 'A network in between wants a login first.'),
  http_521: row('delayed', 'upstream', 'unknown', 'upstream-down', 'The gateway does not reach the server behind it.'),
  answer_cut: row('transient', 'upstream', 'unknown', 'upstream-down', 'The answer ended before it was complete.'),
  answer_unreadable: row(
    'transient',
    'upstream',
    'unknown',
    'upstream-answers',
    'The answer is not in the format it names.',
  ),
  answer_refused: row(
    'transient',
    'upstream',
    'unknown',
    'upstream-answers',
    'The upstream answered well by its status, and not with what is declared as a good answer.',
  ),
  answer_too_large: row(
    'permanent',
    'config',
    'unknown',
    'upstream-answers',
    'The answer is larger than the declared limit.',
  ),
  answer_changed: row(
    'permanent',
    'upstream',
    'unknown',
    'upstream-answers',
    'The answer has not the shape that the pipeline reads.',
  ),
  paging_stuck: row(
    'permanent',
    'upstream',
    'no',
    'upstream-answers',
    'The pages of the upstream lead in a circle or do not add up.',
  ),
  pages_moved: row(
    'transient',
    'upstream',
    'no',
    'upstream-answers',
    'Records moved from one page to another while the pages were read.',
  ),
  redirect_refused: row(
    'permanent',
    'upstream',
    'unknown',
    'upstream-answers',
    'The upstream redirects in a circle, too often, or a call that may not be redirected.',
  ),
  left_origin: row(
    'permanent',
    'config',
    'no',
    'upstream-answers',
    'The upstream leads to an origin that is not declared.',
  ),
  tls_invalid: row('permanent', 'config', 'no', 'credentials', 'The certificate of the upstream is not valid.'),
  secret_missing: row('permanent', 'config', 'no', 'credentials', 'A declared secret is not set.'),
  dataset_gone: row('permanent', 'self', 'no', 'datasets', 'Records kept between two stages are not there any more.'),
  dataset_too_large: row(
    'permanent',
    'config',
    'rolled-back',
    'datasets',
    'A stage made more records for another stage than may be kept between two.',
  ),
  volume_low: row(
    'permanent',
    'upstream',
    'no',
    'upstream-answers',
    'The upstream gave far fewer records than it did for other dates.',
  ),
  // Workers and code
  worker_lost: row(
    'transient',
    'self',
    'unknown',
    'workers',
    'The worker died, was stopped or gave no answer during the attempt.',
  ),
  resources_spent: row('delayed', 'self', 'unknown', 'workers', 'This machine has no memory or ports left.'),
  cancelled: row('transient', 'self', 'unknown', 'workers', 'The worker itself ended the call.'),
  attempt_timeout: row('transient', 'upstream', 'unknown', 'workers', 'The attempt took longer than the stage allows.'),
  no_worker: row('delayed', 'self', 'no', 'workers', 'No worker took the stage in time.'),
  deadline: row('permanent', 'call', 'unknown', 'deadline', 'The deadline of the run has passed.'),
  declared_final: row('permanent', 'call', 'unknown', 'code', 'The stage itself says that trying again cannot help.'),
  payload_too_large: row(
    'permanent',
    'code',
    'unknown',
    'code',
    'A stage was given or returned more than travels with a run; hand on a reference.',
  ),
  code_bug: row('permanent', 'code', 'unknown', 'code', 'The code of the stage failed with an error of its own.'),
  config_invalid: row('permanent', 'config', 'no', 'configuration', 'The configuration is not valid.'),
  stage_called_twice: row('permanent', 'code', 'no', 'code', 'A stage was called twice under one name.'),
  unknown: row('unknown', 'upstream', 'unknown', 'unknown', 'No rule knows this failure.'),
} as const satisfies Record<string, Row>;

export type Code = keyof typeof codes;

export const isCode = (value: unknown): value is Code => typeof value === 'string' && Object.hasOwn(codes, value);
export const rowOf = (code: Code): Row => codes[code];

/** What travels when a stage fails: in the details of the ApplicationFailure, in the ledger and in front of the operator. */
export interface Failure {
  readonly code: Code;
  readonly class: FailureClass;
  readonly fault: Fault;
  readonly commit: Commit;
  /** For people: what happened, with values that are not record values. */
  readonly text: string;
  /** Asked by the upstream (Retry-After) or computed by the guard, in milliseconds. */
  readonly nextDelayMs?: number;
  readonly upstream?: string;
  /** Code of the fault that holds its breaker (`breaker_open`), such as `http_401`: people heal it, time does not. */
  readonly held?: string;
  /** The finished stage whose output is lost (`dataset_gone`): it has to be done again before this one can go on. */
  readonly redo?: string;
  /** Hides which rule named the code from nobody: `code:42P01`, `name:TypeError`, `raised`. */
  readonly rule?: string;
}

/** A year: what asks for more is a mistake, and a moment beyond what a Date can say would stop the run that waits for it. */
const DELAY_MS_MAX = 366 * 86_400_000;

export const failure = (code: Code, text: string = codes[code].says, more: Partial<Failure> = {}): Failure => ({
  code,
  class: codes[code].class,
  fault: codes[code].fault,
  commit: codes[code].commit,
  text,
  ...more,
  ...(more.nextDelayMs === undefined ? {} : { nextDelayMs: Math.min(more.nextDelayMs, DELAY_MS_MAX) }),
});

/** Thrown by connectors, stores, flows and by user code that knows its own failure; the guard turns it into an ApplicationFailure. */
export class CodedError extends Error {
  override readonly name = 'CodedError';
  readonly failure: Failure;
  constructor(
    code: Code,
    text?: string,
    options: { cause?: unknown; commit?: Commit } & Pick<Failure, 'nextDelayMs' | 'upstream' | 'held' | 'redo'> = {},
  ) {
    const { cause, ...more } = options;
    super(text ?? codes[code].says, cause === undefined ? {} : { cause });
    this.failure = failure(code, this.message, { rule: 'raised', ...more });
  }
}

/** Classes that no retry inside the activity can heal. */
export const neverRetried: readonly FailureClass[] = ['permanent', 'data'];

/** Temporal's `nonRetryableErrorTypes`: derived, so that table and policy cannot drift apart. */
export const nonRetryableErrorTypes: readonly Code[] = (Object.keys(codes) as Code[]).filter((code) =>
  neverRetried.includes(codes[code].class),
);
