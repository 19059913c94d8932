// What is promised here: document 000 on retries and on what a failure is, item by item, with the figures it states.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { explain } from '../../src/model/explain.ts';
import { CodedError, codes, failure } from '../../src/model/failure.ts';
import { delayAfter } from '../../src/model/retry-clock.ts';
import type { Policy } from '../../src/model/spec.ts';
import { standard } from '../../src/model/policy.ts';
import { timeoutMsOf } from '../../src/model/upstream.ts';
import { verdict } from '../../src/model/verdict.ts';
import { thaw } from '../classify/shapes.ts';
import { dice, simulate } from '../simulation/stage.ts';
import { guardedStage } from './guarded.ts';

/** `max_retries=3, base_delay=1.0`. */
const handRolled = {
  ...standard,
  budget: { attemptsMax: 3, time: '5 minutes' },
  backoff: { first: '1 second', factor: 2, max: '30 seconds' },
} as const satisfies Policy;
/** Stop after 3 attempts; exponential, multiplier 1, min 2 s, max 30 s. */
const library = {
  ...handRolled,
  backoff: { first: '2 seconds', factor: 2, max: '30 seconds' },
} as const satisfies Policy;

const answered = (status: number): Error => Object.assign(new Error(`HTTP ${status}`), { statusCode: status });
const of = (name: string, code: string, syscall: string): Error =>
  thaw({ name, message: `${syscall} ${code}`, code, syscall });

describe('000-3 a retry by hand: three attempts, 1 s, 2 s, 4 s and jitter', () => {
  it('waits 1 s, 2 s, 4 s, each spread, never twice the same', () => {
    const random = dice(3);
    for (const [index, seconds] of [1, 2, 4].entries()) {
      expect(delayAfter(failure('net_timeout'), index + 1, handRolled, 0.5)).toBe(seconds * 1_000);
      const spread = Array.from({ length: 200 }, () =>
        delayAfter(failure('net_timeout'), index + 1, handRolled, random()),
      );
      expect(new Set(spread).size).toBeGreaterThan(150);
      expect(Math.min(...spread)).toBeGreaterThanOrEqual(seconds * 500);
      expect(Math.max(...spread)).toBeLessThanOrEqual(seconds * 1_500);
    }
  });

  it('says of each attempt that it failed and when the next is, as a warning, and once that all are spent, as an error', async () => {
    const told = await guardedStage('extract', handRolled, () => {
      throw of('Error', 'ETIMEDOUT', 'read');
    });
    expect(told.lines.map(({ level }) => level)).toEqual(['WARN', 'WARN', 'ERROR']);
    const retrying = /^Attempt (\d) of 3 failed: .*\. ?(?:\(.*\) )?Retrying in [\d.]+ (?:m?s|s)\.$/;
    expect(told.lines.slice(0, 2).map(({ message }) => retrying.exec(message)?.[1])).toEqual(['1', '2']);
    expect(told.lines[2]!.message).toMatch(/^Stage extract gave up after 3 attempts, .* after the first failure/);
    for (const [index, delay] of told.delays.entries()) {
      expect(delay).toBeGreaterThanOrEqual(500 * 2 ** index);
      expect(delay).toBeLessThanOrEqual(1_500 * 2 ** index);
    }
    // Re-raised: with its code, the number of attempts, and why it was the last.
    expect(told.failure).toMatchObject({ failure: { code: 'net_timeout' }, attempts: 3, why: 'attempts spent' });
  });

  it('is over with the first success', async () => {
    const told = await guardedStage('extract', handRolled, (attempt) => {
      if (attempt < 3) throw answered(503);
      return 'rows';
    });
    expect(told).toMatchObject({ output: 'rows', lines: [{ level: 'WARN' }, { level: 'WARN' }] });
  });
});

describe('000-4 a retry by the library: three attempts, from 2 s to 30 s', () => {
  it('begins with 2 s, doubles and never waits longer than 30 s', () => {
    const waits = [1, 2, 3, 4, 5, 6, 99].map((n) => delayAfter(failure('http_503'), n, library, 0.5) / 1_000);
    expect(waits).toEqual([2, 4, 8, 16, 30, 30, 30]);
    for (const random of [0, 0.5, 0.999_999])
      expect(delayAfter(failure('http_503'), 99, library, random)).toBeLessThanOrEqual(30_000);
  });

  it.each([
    ['Timeout', thaw({ name: 'TimeoutError', message: 'x', code: 23 })],
    ['ConnectionError', of('Error', 'ECONNREFUSED', 'connect')],
    ['HTTPError 429', answered(429)],
    ...[500, 502, 503, 504, 599].map((status) => [`HTTPError ${status}`, answered(status)] as const),
  ] as const)('%s is tried three times', (_name, error) => {
    const course = simulate(
      () => {
        throw error;
      },
      { policy: library, parksMax: 0 },
    );
    // A 429 is told apart: it waits longer, so that its third try may be a park's.
    expect(course.calls).toBe(3);
    expect(course.end).toBe('waiting');
  });

  it.each([400, 401, 403, 404, 405, 410, 418, 422, 431, 451])('%i is not tried again', (status) => {
    expect(
      simulate(
        () => {
          throw answered(status);
        },
        { policy: library },
      ),
    ).toMatchObject({ calls: 1, end: 'asking' });
  });

  it('logs before it sleeps, at the level of a warning', async () => {
    const told = await guardedStage('extract', library, (attempt) => {
      if (attempt === 1) throw answered(503);
      return [];
    });
    expect(told.lines).toMatchObject([
      {
        level: 'WARN',
        message: expect.stringContaining('Retrying in') as string,
        fields: { attempt: 1, code: 'http_503', nextDelayMs: told.delays[0] },
      },
    ]);
  });

  it('ends a request after 30 s', () => expect(timeoutMsOf({ address: 'https://api.example.com' })).toBe(30_000));
});

describe('000-5 the table "What Each Retry Looks Like"', () => {
  it('attempt 1 at once, attempt 2 after about 2 s, attempt 3 after about 4 s more: 6 s in all, then it is escalated', () => {
    const told = explain({ policy: library, script: [{ code: 'http_503' }] });
    const attempts = told.steps.filter(({ what }) => what === 'attempt');
    expect(
      attempts.map(({ attempt, waitMs, elapsedMs }) => [attempt, waitMs.typical / 1_000, elapsedMs.typical / 1_000]),
    ).toEqual([
      [1, 0, 0],
      [2, 2, 2],
      [3, 4, 6],
    ]);
    expect(attempts.map(({ text }) => text.split('. ').at(-1))).toEqual([
      'Tried again.',
      'Tried again.',
      'The attempts are spent.',
    ]);
    expect(told.steps.at(-1)).toMatchObject({ what: 'park', waitMs: { typical: 900_000 } });
  });

  it('what happens in it: the API is still recovering at the second, and the third is the last before somebody looks', () => {
    const healed = explain({ policy: library, script: [{ code: 'http_503' }, { code: 'http_503' }, 'ok'] });
    expect(healed).toMatchObject({
      end: 'done',
      steps: [
        { outcome: 'http_503' },
        { outcome: 'http_503' },
        { outcome: 'ok', text: 'Healed by itself, at attempt 3.' },
      ],
    });
  });

  it('jitter keeps many pipelines from retrying at the same moment', () => {
    const random = dice(5);
    const second = Array.from({ length: 1_000 }, () => delayAfter(failure('http_503'), 1, library, random()));
    const perTenth = new Map<number, number>();
    for (const wait of second) perTenth.set(Math.floor(wait / 100), (perTenth.get(Math.floor(wait / 100)) ?? 0) + 1);
    // Without it a thousand would come in one tenth of a second; with it at most some 50 do.
    expect(Math.max(...perTenth.values())).toBeLessThan(90);
    expect(perTenth.size).toBe(20);
  });
});

describe('000-6 the classifier', () => {
  const routes = (error: unknown) => {
    const { class: cls } = classify(error);
    const ended = { failure: classify(error), attempts: 3, elapsedMs: 6_000, why: 'attempts spent' } as const;
    return [cls, verdict(ended, library, { heal: 'on', pastDeadline: false })] as const;
  };

  it.each([
    ['Timeout', thaw({ name: 'HeadersTimeoutError', message: 'x', code: 'UND_ERR_HEADERS_TIMEOUT' })],
    ['ConnectionError', of('Error', 'ECONNREFUSED', 'connect')],
    ['ConnectionResetError', of('Error', 'ECONNRESET', 'read')],
    ['TimeoutError', thaw({ name: 'TimeoutError', message: 'x', code: 23 })],
    ...[500, 502, 503, 504].map((status) => [`status ${status}`, answered(status)] as const),
  ] as const)('%s is transient: retry', (_name, error) =>
    expect(routes(error)).toMatchObject(['transient', { do: 'park', until: 'time' }]),
  );

  it('status 429 is transient there and has a class of its own here; it is retried all the same', () =>
    expect(routes(answered(429))).toMatchObject(['throttled', { do: 'park', until: 'time' }]));

  it('a real request that meets each status of the document is classified as it says', async () => {
    let status = 200;
    const server = createServer((_request, response) => void response.writeHead(status).end()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const transient: number[] = [];
    for (status of [400, 401, 403, 404, 409, 422, 429, 500, 501, 502, 503, 504]) {
      const { class: cls } = classify(await fetch(at));
      if (cls === 'transient' || cls === 'throttled') transient.push(status);
    }
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(transient).toEqual([429, 500, 502, 503, 504]);
  });

  it.each([
    ['file not found', of('Error', 'ENOENT', 'open')],
    ['permission', of('Error', 'EACCES', 'open')],
  ])('%s is permanent: alert', (_name, error) => {
    expect(routes(error)).toMatchObject(['permanent', { do: 'park', until: 'decision' }]);
    expect(
      simulate(
        () => {
          throw error;
        },
        { policy: library },
      ).calls,
    ).toBe(1);
  });

  it('a field that is not there (KeyError) is a matter of data, and never retried', () => {
    for (const code of ['record_invalid', 'record_refused'] as const)
      expect(codes[code]).toMatchObject({ class: 'data', fault: 'record' });
    expect(routes(new CodedError('record_invalid'))).toMatchObject(['data', { do: 'park', until: 'decision' }]);
  });

  it('anything else is unknown: alert, after one more try', () => {
    expect(routes(new Error('something else'))).toMatchObject(['unknown', { do: 'park', until: 'decision' }]);
    expect(
      simulate(
        () => {
          throw new Error('something else');
        },
        { policy: library },
      ),
    ).toMatchObject({ calls: 2, end: 'asking' });
  });
});
