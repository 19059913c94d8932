// What is promised here: whose failures count against an upstream, and whose are their own.
import { describe, expect, it } from 'vitest';
import { freshBreaker, reduceBreaker, type Report } from '../../src/model/breaker.ts';
import { aboutOf, othersAnswered } from '../../src/model/breaker-evidence.ts';
import { codes, type Code } from '../../src/model/failure.ts';
import { breakerDefaults } from '../../src/model/upstream.ts';

type What = Omit<Report, 'epoch' | 'worker'>;
const fail = (by: string | undefined, about: 'call' | 'answer' | 'connection' = 'call'): What => ({
  fail: 1,
  tail: 1,
  calls: [{ about, by }],
});
const ok = (by: string): What => ({ ok: 1, okBy: by });
const wait = (ms: number): number => ms;

/** Plays reports and waits on a closed breaker; gives its state and its failures in a row. */
function play(steps: readonly (What | number)[], settings: Partial<typeof breakerDefaults> = {}): [string, number] {
  let now = 1_000_000;
  let b = freshBreaker({ ...breakerDefaults, ...settings, workersMin: 1, cooldownJitter: 0 }, now);
  for (const step of steps)
    if (typeof step === 'number') now += step;
    else b = reduceBreaker(b, { type: 'report', epoch: b.epoch, worker: 'w', ...step }, now, 0).state;
  return [b.state, b.consecutive];
}
const times = (n: number, what: What): What[] => Array.from({ length: n }, () => what);

describe('what one caller repeats', () => {
  it.each([
    ['after others were answered counts once', [ok('b'), ...times(30, fail('a'))], ['closed', 1]],
    ['counts once more behind a success, and no more', [fail('a'), ok('b'), ...times(30, fail('a'))], ['closed', 0]],
    ['alone is an outage', times(5, fail('a')), ['open', 0]],
    ['after its own success is an outage', [ok('a'), ...times(5, fail('a'))], ['open', 0]],
    ['after others long ago is an outage', [ok('b'), wait(300_000), ...times(5, fail('a'))], ['open', 0]],
    ['after others of late is none yet', [ok('b'), wait(299_999 - 4), ...times(30, fail('a'))], ['closed', 1]],
    ['is an outage where no connection comes about', [ok('b'), ...times(5, fail('a', 'connection'))], ['open', 0]],
    ['is never one where the answer is wrong', times(100, fail('a', 'answer')), ['closed', 1]],
    ['counts where nobody knows whose it is', [ok('b'), ...times(5, fail(undefined))], ['open', 0]],
  ] as const)('%s', (_, steps, expected) => expect(play(steps)).toEqual(expected));

  it('does not count by its share either: half of forty calls are one bad path', () => {
    expect(play(Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? ok('b') : fail('a'))))[0]).toBe('closed');
    const many = Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? ok('b') : fail(`a${n}`)));
    expect(play(many)[0]).toBe('open');
  });
});

describe('the failures of many', () => {
  it.each([
    ['of five, whoever was answered before', [ok('z'), ...['a', 'b', 'c', 'd', 'e'].map((by) => fail(by))], 'open'],
    ['of five with wrong answers', [ok('z'), ...['a', 'b', 'c', 'd', 'e'].map((by) => fail(by, 'answer'))], 'open'],
    ['of three that repeat', [ok('z'), wait(1), ...['a', 'b', 'c', 'a', 'b'].map((by) => fail(by))], 'open'],
    ['of two bad paths', [ok('z'), ...Array.from({ length: 30 }, (_, n) => fail('ab'[n % 2]))], 'closed'],
    ['of four with wrong answers', Array.from({ length: 40 }, (_, n) => fail('abcd'[n % 4], 'answer')), 'closed'],
  ] as const)('%s', (_, steps, state) => expect(play(steps)[0]).toBe(state));

  it('are as many as are declared: two for a database of document 000', () =>
    expect(play([ok('z'), fail('a'), fail('b')], { consecutive: 2 })[0]).toBe('open'));
});

it('says whether others were answered', () => {
  const seen = { okBy: 'a', okAt: 100, okOtherAt: 50, failing: [] };
  expect([othersAnswered(seen, 'b', 110, 11), othersAnswered(seen, 'b', 110, 10)]).toEqual([true, false]);
  expect([othersAnswered(seen, 'a', 110, 61), othersAnswered(seen, 'a', 110, 60)]).toEqual([true, false]);
  expect(othersAnswered({ failing: [] }, 'a', 110, 1e9)).toBe(false);
});

it('takes no answer for a connection, and no connection for an answer', () => {
  const all = Object.keys(codes) as Code[];
  const of = (about: string): Code[] => all.filter((code) => aboutOf(code) === about);
  expect(of('answer')).toEqual(['answer_cut', 'answer_unreadable', 'answer_refused', 'pages_moved']);
  for (const code of of('connection')) expect(code).toMatch(/^(net|dns|tls|pg)_/);
  expect(of('connection')).toContain('net_refused');
  expect(of('connection')).not.toContain('net_timeout');
});
