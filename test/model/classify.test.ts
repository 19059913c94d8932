// What is promised here: real errors of real drivers get their name, the most specific fact wins, and wrapping changes nothing.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { CodedError, codes, failure, isCode, type Code } from '../../src/model/failure.ts';

const with_ = (more: object, message = 'something'): Error => Object.assign(new Error(message), more);
const thrownBy = async (act: () => Promise<unknown>): Promise<unknown> => {
  try {
    await act();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

const table: readonly (readonly [string, unknown, Code])[] = [
  ['a coded error', new CodedError('http_429'), 'http_429'],
  ['errno', with_({ code: 'ENOENT', syscall: 'open' }), 'file_missing'],
  ['a deadlock', with_({ code: '40P01' }), 'pg_conflict'],
  ['a unique violation', with_({ code: '23505' }), 'record_refused'],
  ['a missing column before its class', with_({ code: '42703' }), 'pg_schema'],
  ['any other statement error by its class', with_({ code: '42601' }), 'pg_statement'],
  ['our own fence', with_({ code: 'MF001' }), 'fenced'],
  ['a status', with_({ status: 503 }), 'http_503'],
  ['a status code', with_({ statusCode: 401 }), 'http_401'],
  ['a client error that has no row of its own', with_({ status: 422 }), 'http_400'],
  ['too early, which time heals', with_({ status: 425 }), 'http_425'],
  ['a server error that has no row of its own', with_({ status: 555 }), 'http_500'],
  ['a gateway of its own words', with_({ status: 520 }), 'http_502'],
  ['the exit code of a command, which is no HTTP status', with_({ status: 1 }), 'unknown'],
  ['what pg says without a code', new Error('Connection terminated unexpectedly'), 'pg_connection_lost'],
  [
    'a time limit of a signal',
    new DOMException('The operation was aborted due to timeout', 'TimeoutError'),
    'net_timeout',
  ],
  ['a bug', new TypeError('x is not a function'), 'code_bug'],
  ['a code that is no own property of the table', with_({ code: 'constructor' }), 'unknown'],
  ['a text', 'just a text', 'unknown'],
  ['nothing', undefined, 'unknown'],
  ['null', null, 'unknown'],
  [
    'an activity of before that says it is final',
    with_({ name: 'ApplicationFailure', type: 'BadOrder', nonRetryable: true }),
    'declared_final',
  ],
  ['one with a type of ours', with_({ name: 'ApplicationFailure', type: 'http_404', nonRetryable: true }), 'http_404'],
];

describe('an error', () => {
  it.each(table)('%s is named', (_name, error, code) => expect(classify(error).code).toBe(code));

  it('keeps its name however it is wrapped', () => {
    const wraps: readonly ((inner: unknown) => unknown)[] = [
      (inner) => new Error('outer', { cause: inner }),
      (inner) => new AggregateError([inner], 'several'),
      (inner) => new AggregateError([new Error('first'), inner], 'several'),
      (inner) => new TypeError('fetch failed', { cause: inner }),
    ];
    const named = table.filter(([, , code]) => code !== 'unknown' && code !== 'code_bug');
    fc.assert(
      fc.property(
        fc.constantFrom(...named),
        fc.array(fc.constantFrom(...wraps), { maxLength: 5 }),
        ([, error, code], layers) => {
          expect(classify(layers.reduce((inner, wrap) => wrap(inner), error)).code).toBe(code);
        },
      ),
    );
  });

  it('is answered in bounded time, also if it is its own cause or a trap', () => {
    const round: { cause?: unknown; errors?: unknown[] } = new Error('round') as never;
    round.cause = round;
    round.errors = Array.from({ length: 10 }, () => round);
    const startedAt = Date.now();
    expect(isCode(classify(round).code)).toBe(true);
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(isCode(classify(thrown).code)).toBe(true);
      }),
    );
  });

  it('quotes nothing of the message, which may hold a record', () => {
    const secret = 'patient 4711';
    for (const error of [
      new Error(secret),
      with_({ code: '23505', detail: secret }, secret),
      with_({ status: 500 }, secret),
    ])
      expect(JSON.stringify(classify(error))).not.toContain('4711');
  });
});

describe('errors of the real thing', () => {
  it('are named: refused connection, unknown host, time limit, missing file', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const late = await thrownBy(() => fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(50) }));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(classify(late)).toMatchObject({ code: 'net_timeout', class: 'transient' });
    const refused = await thrownBy(() => fetch(`http://127.0.0.1:${port}/`));
    expect(classify(refused)).toMatchObject({ code: 'net_refused', commit: 'no' });
    expect(classify(await thrownBy(() => readFile('/none/at/all')))).toMatchObject({ code: 'file_missing' });
  });

  it('ask for no moment that cannot be written', () => {
    expect(failure('http_503', undefined, { nextDelayMs: 5_000 }).nextDelayMs).toBe(5_000);
    const { nextDelayMs } = new CodedError('http_503', undefined, { nextDelayMs: 1e18 }).failure;
    expect(new Date(1_795_000_000_000 + nextDelayMs!).getUTCFullYear()).toBeLessThan(2_070);
  });

  it('may know more of the effect than their code says, and keep it', () => {
    expect(new CodedError('net_reset', 'x', { commit: 'no' }).failure).toMatchObject({
      commit: 'no',
      class: 'transient',
    });
    const sent = {
      name: 'ApplicationFailure',
      type: 'net_reset',
      details: [{ failure: { code: 'net_reset', commit: 'no', redo: 'extract' } }],
    };
    expect(classify(sent)).toMatchObject({ code: 'net_reset', commit: 'no', redo: 'extract' });
    // What is said of the class is not believed: a code has one for ever.
    expect(
      classify({
        ...sent,
        details: [{ failure: { code: 'net_reset', class: 'permanent', commit: 'perhaps', text: 7 } }],
      }),
    ).toEqual(failure('net_reset'));
    expect(classify({ name: 'ApplicationFailure', type: 'http_404', details: [] })).toMatchObject({ code: 'http_404' });
    expect(classify({ name: 'TimeoutFailure', timeoutType: 'HEARTBEAT' })).toMatchObject({ code: 'worker_lost' });
  });

  it('are not stopped by a value that throws when it is looked at', () => {
    const trap = new Proxy(new Error('x'), {
      get: () => {
        throw new TypeError('trap');
      },
    });
    expect(classify(trap)).toMatchObject({ code: 'unknown' });
    expect(classify(new Error('around', { cause: trap }))).toMatchObject({ code: 'unknown' });
  });

  it('have texts, runbooks and classes for every code', () => {
    for (const [code, row] of Object.entries(codes)) {
      expect(row.says, code).toMatch(/^[A-Z].*\.$/);
      expect(row.runbook, code).toMatch(/^[a-z][a-z-]*$/);
    }
  });
});
