// What is promised here: document 001 on classes, backoff, Retry-After and budgets, item by item, with the figures it states.
import { describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { CodedError, codes, failure, type Code, nonRetryableErrorTypes } from '../../src/model/failure.ts';
import { presets, standard } from '../../src/model/policy.ts';
import { delayAfter } from '../../src/model/retry-clock.ts';
import { ms } from '../../src/model/duration.ts';
import type { Policy } from '../../src/model/spec.ts';
import { verdict } from '../../src/model/verdict.ts';
import { type Shape, thaw } from '../classify/shapes.ts';
import golden from '../classify/golden.json' with { type: 'json' };
import { dice, simulate } from '../simulation/stage.ts';
import { guardedStage } from './guarded.ts';

const answered = (status: number, headers: Record<string, string> = {}): Error =>
  Object.assign(new Error(`Upstream returned ${status}`), { statusCode: status, headers });
const pg = (code: string): Error => Object.assign(new Error('x'), { code, severity: 'ERROR' });
const recorded = (what: string): Error =>
  thaw((golden as { what: string; error: Shape }[]).find((one) => one.what === what)!.error);
const failing = (times: number, error: () => unknown) => (attempt: number) => {
  if (attempt <= times) throw error();
};
/** `stop_after_attempt(8) | stop_after_delay(300)`, exponential from 1 s to 30 s. */
const reference = standard;

describe('001-1 what triggers it: one 502, a database that refuses for a moment, a hiccup of the name server', () => {
  it.each([
    ['one 502', answered(502)],
    ['a connection that is refused for a moment', recorded('Postgres: refused')],
    ['a name server without an answer', recorded('DNS: the server is silent')],
  ])('%s heals and nobody hears of it', async (_what, error) => {
    const told = await guardedStage(
      'extract',
      reference,
      failing(1, () => error),
    );
    expect(told.lines.map(({ level }) => level)).toEqual(['WARN']);
    expect(told.failure).toBeUndefined();
  });

  it('is no `while True`: what never heals is tried eight times and then once in a quarter of an hour', () => {
    const course = simulate(
      failing(Infinity, () => answered(500)),
      { policy: reference, parksMax: 4 },
    );
    expect(course.calls).toBe(8 + 4);
    expect(course.parks.every(({ delayMs }) => delayMs === 900_000)).toBe(true);
  });
});

describe('001-2 the mix: about 80 % transient, 15 % recoverable with a delay, 5 % permanent', () => {
  it('of a thousand failures of that mix the 5 % ask, and the others end well', () => {
    const random = dice(2);
    const by = {
      transient: [answered(502), answered(429), recorded('node:http: connection refused')],
      recoverable: [
        recorded('Postgres: takes no more connections'),
        pg('57P03'),
        answered(503, { 'retry-after': '60' }),
      ],
      permanent: [
        recorded('Postgres: a wrong password'),
        recorded('Postgres: no such column'),
        new CodedError('record_invalid'),
      ],
    };
    const ends = { done: 0, asking: 0, waiting: 0 };
    let permanent = 0;
    for (let n = 0; n < 1_000; n++) {
      const share = random();
      const kind = share < 0.8 ? 'transient' : share < 0.95 ? 'recoverable' : 'permanent';
      permanent += Number(kind === 'permanent');
      const error = by[kind][n % 3]!;
      const times = kind === 'permanent' ? Infinity : 1 + Math.floor(random() * 3);
      ends[
        simulate(
          failing(times, () => error),
          { policy: reference, random },
        ).end
      ]++;
    }
    expect(ends).toEqual({ done: 1_000 - permanent, asking: permanent, waiting: 0 });
    expect(permanent).toBeGreaterThan(30);
    expect(permanent).toBeLessThan(70);
  });
});

describe('001-3 one strategy per class', () => {
  it('transient grows from 1 s, recoverable begins with 30 s, permanent is never retried', () => {
    const first = (code: Code) => delayAfter(failure(code), 1, reference, 0.5);
    expect([first('http_502'), first('pg_resources'), first('http_429')]).toEqual([1_000, 30_000, 30_000]);
    for (const code of Object.keys(codes) as Code[])
      if (codes[code].class === 'permanent') {
        expect(
          simulate(
            failing(Infinity, () => new CodedError(code)),
            { policy: reference },
          ),
          code,
        ).toMatchObject({ calls: 1, waits: [] });
        expect(nonRetryableErrorTypes).toContain(code);
      }
  });

  it('no permanent failure stays silent: each asks', () => {
    for (const code of Object.keys(codes) as Code[])
      if (codes[code].class === 'permanent')
        expect(
          verdict({ failure: failure(code), attempts: 1, elapsedMs: 0, why: 'never retried' }, reference, {
            heal: 'on',
            pastDeadline: false,
          }),
        ).toEqual({ do: 'park', until: 'decision' });
  });

  it('no single retry is followed by a question, and no curve hammers a service that recovers', () => {
    const course = simulate(
      failing(Infinity, () => answered(503)),
      { policy: reference, parksMax: 0 },
    );
    expect(course.calls).toBe(8);
    for (const [index, wait] of course.waits.entries())
      if (index > 0) expect(wait).toBeGreaterThanOrEqual(course.waits[index - 1]!);
    expect(course.end).toBe('waiting');
  });
});

describe('001-4 classified where it is raised', () => {
  it.each<[string, unknown, string]>([
    ...[500, 502, 503, 504, 505, 599].map((status): [string, unknown, string] => [
      `HTTP ${status}`,
      answered(status),
      status === 505 ? 'permanent' : 'transient',
    ]),
    ['HTTP 501', answered(501), 'permanent'],
    ['HTTP 429', answered(429), 'throttled'],
    ...[400, 401, 403, 404, 422].map((status): [string, unknown, string] => [
      `HTTP ${status}`,
      answered(status),
      'permanent',
    ]),
    ['a connection error', recorded('pg: the socket is cut under a statement'), 'transient'],
    ['a deadlock', recorded('Postgres: a deadlock'), 'transient'],
    ['a lock that takes too long', recorded('Postgres: a lock that is held'), 'transient'],
    ['a broken constraint', recorded('Postgres: a key twice'), 'data'],
    ['a value of the wrong type', recorded('Postgres: no number'), 'data'],
    ['a column of the wrong type', recorded('Postgres: types that do not fit'), 'permanent'],
    ['a malformed message', recorded('JSON: half of it'), 'transient'],
    ['a malformed record', new CodedError('record_invalid'), 'data'],
  ])('%s', (_what, error, cls) => expect(classify(error).class).toBe(cls));

  it('what is raised again keeps the class, with upstream and wait, however it is wrapped', () => {
    const raised = new CodedError('http_503_retry_after', 'main_api asks for a minute', {
      upstream: 'http:main_api',
      nextDelayMs: 60_000,
    });
    const wrapped = new Error('extract failed', { cause: new AggregateError([new Error('also'), raised]) });
    expect(classify(wrapped)).toMatchObject({
      class: 'delayed',
      upstream: 'http:main_api',
      nextDelayMs: 60_000,
      rule: 'raised',
    });
  });
});

describe('001-5 backoff 1, 2, 4, 8 s, ±50 % on each', () => {
  it.each([1, 2, 4, 8])('%i s', (seconds) => {
    const n = Math.log2(seconds) + 1;
    const at = (random: number): number => delayAfter(failure('http_503'), n, reference, random) / 1_000;
    expect([at(0), at(0.5), at(1)]).toEqual([0.5 * seconds, seconds, 1.5 * seconds]);
  });

  it('is exponential, has jitter, attempts and a longest time: none of its pitfalls', () => {
    for (const policy of Object.values<Policy>(presets)) {
      expect(policy.backoff.factor).toBeGreaterThan(1);
      expect(policy.budget.attemptsMax).toBeLessThanOrEqual(10);
      expect(ms(policy.budget.time)).toBeLessThanOrEqual(300_000);
    }
    // Nothing leaks from one failure to the next: the second outage begins with 1 s again.
    const twice = () =>
      simulate(
        failing(3, () => answered(500)),
        { policy: reference },
      ).waits;
    expect([twice(), twice()]).toEqual([
      [1_000, 2_000, 4_000],
      [1_000, 2_000, 4_000],
    ]);
  });
});

describe('001-6 Retry-After wins over our own backoff', () => {
  it.each(['1', '7', '20', '120'])('"%s" is waited for, and never undercut', async (seconds) => {
    const told = await guardedStage(
      'extract',
      reference,
      failing(1, () => answered(429, { 'retry-after': seconds })),
    );
    expect(told.delays).toHaveLength(1);
    expect(told.delays[0]).toBeGreaterThanOrEqual(Number(seconds) * 1_000);
    expect(told.delays[0]).toBeLessThanOrEqual(Number(seconds) * 1_100);
  });

  it('a date is read too, by the clock of whoever sent it', () => {
    const error = answered(503, {
      'retry-after': 'Mon, 03 Jun 2019 11:02:00 GMT',
      date: 'Mon, 03 Jun 2019 11:00:00 GMT',
    });
    expect(classify(error)).toMatchObject({ code: 'http_503_retry_after', nextDelayMs: 120_000 });
  });

  it('an hour is beyond the budget of five minutes: the stage parks for an hour, holding nothing, and nobody is asked', () => {
    const course = simulate(
      failing(1, () => answered(429, { 'retry-after': '3600' })),
      { policy: reference },
    );
    expect(course).toMatchObject({ end: 'done', calls: 2, parks: [{ until: 'time', delayMs: 3_600_000 }] });
  });
});

describe('001-7 the budget: 5 to 10 attempts and five minutes', () => {
  it('is 8 attempts and 300 s', () => {
    expect(reference.budget.attemptsMax).toBe(8);
    expect(ms(reference.budget.time)).toBe(300_000);
  });

  it('whichever ends first ends it', () => {
    const fast = simulate(
      failing(Infinity, () => answered(500)),
      { policy: reference, parksMax: 0 },
    );
    expect([fast.calls, fast.failures.at(-1)!.why]).toEqual([8, 'attempts spent']);
    const tight = { ...reference, budget: { attemptsMax: 10, time: '20 seconds' } } as const;
    const slow = simulate(
      failing(Infinity, () => answered(500)),
      { policy: tight, parksMax: 0 },
    );
    expect([slow.failures.at(-1)!.why, slow.waits]).toEqual(['time spent', [1_000, 2_000, 4_000, 8_000, 5_000]]);
  });

  it('is escalated with class, attempts, time and the code of the failure', async () => {
    const { failure: ended, lines } = await guardedStage(
      'extract',
      reference,
      failing(Infinity, () => answered(500)),
    );
    expect(ended).toMatchObject({
      attempts: 8,
      why: 'attempts spent',
      failure: { class: 'transient', code: 'http_500' },
    });
    expect(lines.at(-1)).toMatchObject({ level: 'ERROR', fields: { attempt: 8, attemptsMax: 8, class: 'transient' } });
  });
});

describe('001-15 the reference: stop after 8 attempts or 300 s, waits from 1 s to 30 s, re-raised', () => {
  it('waits 1, 2, 4, 8, 16, 30, 30 s between its eight attempts', () => {
    const course = simulate(
      failing(Infinity, () => answered(500)),
      { policy: reference, parksMax: 0 },
    );
    expect(course.waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it.each<[string, unknown, Code, string]>([
    ['"Upstream returned 503"', answered(503), 'http_503', '(HTTP 503)'],
    ['"Rate limited, retry-after: 30"', answered(429, { 'retry-after': '30' }), 'http_429', '(HTTP 429)'],
    ['"Upstream rejected request: 400"', answered(400), 'http_400', '(HTTP 400)'],
  ])('%s is said with the status, not with the words of the answer', (_what, error, code, status) => {
    expect(classify(error)).toMatchObject({ code, text: expect.stringContaining(status) as string });
  });

  it('a transient and a permanent failure are two kinds, and only one is raised at once', async () => {
    const permanent = await guardedStage(
      'load',
      reference,
      failing(Infinity, () => answered(400)),
    );
    expect(permanent).toMatchObject({ delays: [], failure: { attempts: 1, why: 'never retried' } });
    const transient = await guardedStage(
      'load',
      reference,
      failing(Infinity, () => answered(503)),
    );
    expect(transient).toMatchObject({ failure: { attempts: 8 } });
    expect(transient.delays).toHaveLength(7);
  });
});
