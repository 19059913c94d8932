// What is promised here: mistakes that the founding documents make in their own code do not happen here. Each case shows the mistake beside it.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { codes, failure, type Code } from '../../src/model/failure.ts';
import { document, standard } from '../../src/model/policy.ts';
import { delayAfter } from '../../src/model/retry-clock.ts';
import type { Policy } from '../../src/model/spec.ts';
import { verdict } from '../../src/model/verdict.ts';
import { armFailpoints } from '../../src/store/failpoint.ts';
import { listLetters } from '../../src/store/letters.ts';
import { scene as chaosScene, truth } from '../chaos/data-plane-bench.ts';
import { dice, simulate } from '../simulation/stage.ts';
import { endChildren } from '../support/zombie.ts';
import { logLine, type LogScene, openScene } from './log-file.ts';

let scene: LogScene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(async () => {
  await endChildren();
  await scene?.close();
});
afterEach(() => armFailpoints(''));
const letterLines = async (name: string): Promise<(number | null)[]> =>
  (await listLetters(scene.sink.pool, { runKey: `log-ingest/2026-11-20/${name}` })).map(({ line }) => line);

const answered = (status: number, headers: Record<string, string> = {}): Error =>
  Object.assign(new Error(`HTTP ${status}`), { statusCode: status, headers });
const always = (error: unknown) => (): never => {
  throw error;
};
const callsOf = (status: number): number => simulate(always(answered(status)), { policy: standard, parksMax: 0 }).calls;

describe('1 which answers are tried again', () => {
  /** `retry_if_exception_type(HTTPError)`: every status of 400 and above is one. */
  const inDocument = (status: number): boolean => status >= 400;

  it('document 000 tries a 404 again, against its own comment; here no 4xx is but those that mean "later"', () => {
    expect([400, 401, 403, 404].every(inDocument)).toBe(true);
    const tried = Array.from({ length: 100 }, (_, index) => 400 + index).filter((status) => callsOf(status) > 1);
    expect(tried).toEqual([408, 412, 416, 420, 421, 423, 424, 425, 429]);
  });
});

describe('2 what a refused login is', () => {
  /** The classifier of document 000: not transient, no missing file, no KeyError, so "unknown": Slack, no e-mail. */
  const inDocument = (status: number): string => ([429, 500, 502, 503, 504].includes(status) ? 'transient' : 'unknown');

  it.each([401, 403, 404])('%i is unknown in its code and permanent in its words; here it is permanent', (status) => {
    expect(inDocument(status)).toBe('unknown');
    expect(classify(answered(status)).class).toBe('permanent');
    expect(callsOf(status)).toBe(1);
  });
});

describe('5 three delays for three attempts', () => {
  const waitsOf = (first: Policy['backoff']['first']): number[] =>
    [1, 2, 3].map((n) =>
      delayAfter(failure('http_503'), n, { ...standard, backoff: { ...standard.backoff, first } }, 0.5),
    );

  it('document 000 waits 1, 2, 4 s by hand, 2, 4 s by its library, 2 to 3 and 4 to 5 s in its pipeline; here one clock waits what is declared', () => {
    const pipeline = [1, 2].map((attempt) => [2 ** attempt, 2 ** attempt + 1]);
    expect(pipeline).toEqual([
      [2, 3],
      [4, 5],
    ]);
    expect(waitsOf('1 second')).toEqual([1_000, 2_000, 4_000]);
    expect(waitsOf('2 seconds')).toEqual([2_000, 4_000, 8_000]);
    // The simulation, the guard and `explain` wait the same.
    expect(simulate(always(answered(500)), { policy: document, parksMax: 0 }).waits).toEqual([1_000, 2_000]);
  });
});

describe('6 jitter that is promised and missing', () => {
  const distinct = (waits: readonly number[]): number => new Set(waits).size;

  it('the library version of document 000 and all of document 002 come back at the same moment; here nobody does', () => {
    const document002 = Array.from({ length: 100 }, () => Math.min(1 * 2 ** 1, 60));
    expect(distinct(document002)).toBe(1);
    const random = dice(6);
    for (const policy of [standard, document])
      for (const code of ['http_503', 'pg_starting', 'http_429', 'dns_again'] as const)
        for (const n of [1, 2, 3]) {
          const waits = Array.from({ length: 100 }, () => delayAfter(failure(code), n, policy, random()));
          expect(distinct(waits), `${code} ${n}`).toBeGreaterThan(80);
        }
    // Even what was asked for to the second is spread, and only to later.
    const asked = Array.from({ length: 100 }, () =>
      delayAfter(failure('http_429', 'x', { nextDelayMs: 60_000 }), 1, standard, random()),
    );
    expect(distinct(asked)).toBeGreaterThan(80);
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(60_000);
  });
});

describe('7 how much jitter', () => {
  it('a second is added in document 000, so that a wait of 8 s is hardly spread; here each is spread by ±50 %', () => {
    const spread = (of: (random: number) => number): number => of(1) / of(0);
    const added = (n: number) => (random: number) => 2 ** (n - 1) + random;
    expect(spread(added(4))).toBeCloseTo(1.125);
    for (const n of [1, 2, 3, 4])
      expect(spread((random) => delayAfter(failure('http_503'), n, standard, random))).toBeCloseTo(3);
  });
});

describe('8 what a 429 is', () => {
  it('transient in document 000, recoverable with a delay in document 001; here a class of its own that waits longer and counts against nobody', () => {
    expect(classify(answered(429))).toMatchObject({ code: 'http_429', class: 'throttled' });
    expect(delayAfter(failure('http_429'), 1, standard, 0.5)).toBe(30_000);
    expect(delayAfter(failure('http_503'), 1, standard, 0.5)).toBe(1_000);
    const told = { failure: failure('http_429'), attempts: 8, elapsedMs: 300_000, why: 'attempts spent' } as const;
    expect(verdict(told, standard, { heal: 'on', pastDeadline: false })).toMatchObject({ do: 'park', until: 'time' });
  });
});

describe('9 what a 501 is', () => {
  it("not in document 000's set, transient in document 001's code, permanent in its words; here permanent", () => {
    const document001 = (status: number): boolean => status >= 500;
    expect(document001(501)).toBe(true);
    expect(classify(answered(501)).class).toBe('permanent');
    const retried = Array.from({ length: 100 }, (_, index) => 500 + index).filter((status) => callsOf(status) === 1);
    expect(retried).toEqual([501, 505, 506, 508, 510, 511, 526]);
  });
});

describe('10 a Retry-After that nobody waits for', () => {
  it('document 001 writes it into its message and sleeps its own second; here it is the wait', () => {
    const message = 'Rate limited, retry-after: 120';
    expect(classify(new Error(message)).nextDelayMs).toBeUndefined();
    const limited = answered(429, { 'retry-after': '120' });
    let calls = 0;
    const course = simulate(
      () => {
        if (++calls === 1) throw limited;
      },
      { policy: standard, random: () => 0 },
    );
    expect(course).toMatchObject({ calls: 2, waits: [120_000] });
  });
});

describe('11 how many attempts', () => {
  it.each([
    ['000 and 002', 3, document],
    ['002 on billing', 5, { ...standard, budget: { attemptsMax: 5, time: '5 minutes' } }],
    ['001', 8, standard],
  ] as const)(
    'document %s says %i; here a stage says so itself, and exactly so many are made',
    (_of, attempts, policy) => {
      expect(policy.budget.attemptsMax).toBe(attempts);
      expect(simulate(always(answered(500)), { policy, parksMax: 0 }).calls).toBe(attempts);
    },
  );

  it('whatever a stage says, what retrying cannot heal is called once', () => {
    const once = (Object.keys(codes) as Code[]).filter((code) => codes[code].class === 'permanent');
    expect(once.length).toBeGreaterThan(40);
    for (const status of [400, 401, 403, 404, 501]) expect(callsOf(status)).toBe(1);
  });
});

describe('16 a chunk that fails and is halved loses nothing', () => {
  const TOTAL = 10_000;

  it("document 002's loop does: it steps over the failed chunk, and then loads less than it steps", () => {
    let size = 4_000;
    let failedOnce = false;
    let loaded = 0;
    const step = size;
    for (let at = 0; at < TOTAL; at += step) {
      if (!failedOnce && at === 4_000) {
        failedOnce = true;
        size /= 2;
        continue;
      }
      loaded += Math.min(size, TOTAL - at);
    }
    expect(loaded).toBe(6_000);
  });

  it('here the size of a chunk may change at any moment: what is not in the ledger is what is left', async () => {
    const path = scene.write(
      'halved.log',
      Array.from({ length: TOTAL }, (_, index) => logLine(index)),
    );
    armFailpoints('chunk.afterCopy:throw@2');
    await expect(scene.attempt(path, { recordsMax: 4_000 })).rejects.toThrow('Failpoint');
    armFailpoints('chunk.beforeCommit:throw@2');
    await expect(scene.attempt(path, { recordsMax: 2_000 })).rejects.toThrow('Failpoint');
    armFailpoints('');
    const { end, chunks } = await scene.attempt(path, { recordsMax: 1_000 });
    expect(end).toMatchObject({ done: true, out: { read: TOTAL, loaded: TOTAL } });
    expect(chunks).toHaveLength(4);
    expect(
      await scene.rows(
        'select count(*)::int as rows, count(distinct "offset")::int as offsets, max(line_no)::int as last from log_entries_by_path where path = $1',
        [path],
      ),
    ).toEqual([{ rows: TOTAL, offsets: TOTAL, last: TOTAL }]);
  });
});

describe('20 a line that does not match the pattern', () => {
  it('is a letter like any other bad line, and its batch is loaded', async () => {
    const strange = [
      '',
      'no match',
      '[',
      '2026-11-20',
      '2026-11-20T08:00:00.000Z',
      '2026-11-20T08:00:00.000Z INFO',
      'null',
      '\ufffd',
    ];
    const path = scene.write('no-match.log', [
      ...Array.from({ length: 200 }, (_, index) => logLine(index)),
      ...strange,
    ]);
    const { end } = await scene.attempt(path, { quarantineShareMax: 1 });
    expect(end).toMatchObject({ done: true, out: { read: 208, loaded: 200, quarantined: 7, skipped: 1 } });
    expect(await letterLines('no-match.log')).toEqual([202, 203, 204, 205, 206, 207, 208]);
  });
});

describe('21 letters belong to the transaction of their batch', () => {
  it.each(['chunk.afterLetters', 'chunk.beforeCommit'])(
    'a failure at %s leaves neither rows nor letters; the next attempt leaves both, once',
    async (point) => {
      const name = `letters-${point}.log`;
      const path = scene.write(
        name,
        Array.from({ length: 1_000 }, (_, index) => (index === 500 ? 'bad' : logLine(index))),
      );
      const rows = (): Promise<unknown[]> =>
        scene.rows('select count(*)::int as rows from log_entries_by_path where path = $1', [path]);
      armFailpoints(`${point}:throw`);
      await expect(scene.attempt(path)).rejects.toThrow('Failpoint');
      expect({ rows: await rows(), letters: await letterLines(name) }).toEqual({ rows: [{ rows: 0 }], letters: [] });
      armFailpoints('chunk.afterCommit:throw');
      await expect(scene.attempt(path)).rejects.toThrow('Failpoint');
      armFailpoints('');
      await scene.attempt(path);
      expect({ rows: await rows(), letters: await letterLines(name) }).toEqual({
        rows: [{ rows: 999 }],
        letters: [501],
      });
    },
  );
});

describe('22 a crash loses no checkpoint', () => {
  it('kill -9 in mid-run: what was committed is known to the next process, and only the chunk in hand is done again', async () => {
    const at = await chaosScene();
    try {
      // One connection, so that which chunk was in hand is no question of timing.
      expect(await at.start({ failpoints: 'chunk.beforeCommit:kill@9', lanes: 1 }).ended).toMatchObject({
        signal: 'SIGKILL',
      });
      const committed = at.log().filter((line) => line.committed).length;
      expect(committed).toBe(8);
      const { rows } = await at.pool.query<{ chunks: number }>('select count(*)::int as chunks from mendflow.chunk');
      expect(rows).toEqual([{ chunks: 8 }]);
      await at.finish({ lanes: 1 });
      expect(at.redone()).toBe(1);
      expect(await at.check()).toEqual([]);
      const loaded = await at.pool.query<{ rows: number }>('select count(*)::int as rows from rows_checked');
      expect(loaded.rows).toEqual([{ rows: truth.rows.size }]);
    } finally {
      await at.close();
    }
  });
});
