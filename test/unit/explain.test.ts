// What is promised here: `explain` tells what the guard and the engine would do, wait by wait.
import { describe, expect, it } from 'vitest';
import { commandsOf } from '../../src/commands/support/report.ts';
import { explain, limitWords, type Scripted } from '../../src/model/explain.ts';
import type { Code } from '../../src/model/failure.ts';
import { local, standard, warehouse } from '../../src/model/policy.ts';
import { breakerDefaults } from '../../src/model/upstream.ts';

const script = (...words: (Code | 'ok')[]): Scripted[] => words.map((code) => (code === 'ok' ? 'ok' : { code }));
const waits = (told: ReturnType<typeof explain>): number[] => told.steps.map(({ waitMs }) => waitMs.typical);

describe('the limit of bad records', () => {
  it('is never above all of them', () => {
    expect([0.05, 0.5, 1].map(limitWords)).toEqual([
      'asks above 5 % bad records',
      'asks above 50 % bad records',
      'asks only if all records are bad',
    ]);
  });
});

describe('explain', () => {
  it('is the table "what each retry looks like": attempt, wait, total elapsed, what happens', () => {
    const policy = {
      ...standard,
      budget: { attemptsMax: 3, time: '5 minutes' },
      backoff: { first: '2 seconds', factor: 2, max: '30 seconds' },
    } as const;
    const told = explain({ policy, script: script('http_503', 'http_503', 'ok') });
    expect(
      told.steps.map(({ attempt, waitMs, elapsedMs, outcome }) => [
        attempt,
        waitMs.typical,
        elapsedMs.typical,
        outcome,
      ]),
    ).toEqual([
      [1, 0, 0, 'http_503'],
      [2, 2_000, 2_000, 'http_503'],
      [3, 4_000, 6_000, 'ok'],
    ]);
    expect(told).toMatchObject({ end: 'done', budget: { attemptsMax: 3, timeMs: 300_000 } });
    expect(told.steps[2]!.text).toBe('Healed by itself, at attempt 3.');
  });

  it('gives every wait as the range that jitter makes of it', () => {
    const { steps } = explain({ policy: standard, script: script('http_503', 'ok') });
    expect(steps[1]!.waitMs).toEqual({ min: 500, typical: 1_000, max: 1_500 });
    expect(steps[1]!.elapsedMs).toEqual({ min: 500, typical: 1_000, max: 1_500 });
  });

  it('repeats the last word until the budget is spent, and parks what time can heal', () => {
    const told = explain({ policy: standard, script: script('http_503') });
    expect(told.steps.filter(({ what }) => what === 'attempt')).toHaveLength(8);
    expect(waits(told)).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 900_000]);
    expect(told.steps.at(-1)).toMatchObject({
      what: 'park',
      text: expect.stringMatching(/^Parked, holding nothing, for 15 min; then one attempt/) as string,
    });
    expect(told.end).toBe('waiting');
  });

  it('goes on after a park with one attempt each time, counted on', () => {
    const policy = { ...local, budget: { attemptsMax: 1, time: '1 minute' } } as const;
    const told = explain({ policy, script: script('http_503', 'http_503', 'ok') });
    expect(told.steps.map(({ what, attempt }) => `${what} ${attempt}`)).toEqual([
      'attempt 1',
      'park 1',
      'attempt 2',
      'park 2',
      'attempt 3',
    ]);
    expect(told.steps.at(-1)!.elapsedMs.typical).toBe(1_800_000);
  });

  it('never retries what retrying cannot heal: it asks, with the decisions the policy allows', () => {
    const told = explain({ policy: { ...warehouse, onSkip: { output: 0 } }, script: script('http_401') });
    expect(told.end).toBe('asking');
    expect(told.steps).toHaveLength(2);
    expect(told.steps[1]).toMatchObject({
      what: 'question',
      text: 'The run asks its owner and waits: retry, skip, or abort.',
    });
  });

  it.each([
    ['http_401', 'retry or abort'],
    ['code_bug', 'retry or abort'],
    ['quarantine_limit', 'retry, accept-loss, or abort'],
    ['file_vanished', 'retry, accept-loss, or abort'],
    ['file_missing', 'retry, accept-loss, or abort'],
    ['volume_low', 'retry, accept-loss, or abort'],
    ['http_400', 'retry, extend-budget, accept-loss, or abort'],
  ] as const)('offers for %s what can help: %s', (code, kinds) => {
    const policy = { ...warehouse, quarantineShareMax: 0.05 };
    const { steps } = explain({ policy, script: script(code) });
    expect(steps.at(-1)!.text).toBe(`The run asks its owner and waits: ${kinds}.`);
    const acceptsLoss = kinds.includes('accept-loss');
    const shown = commandsOf('a/2026-11-20', { stage: 'load', token: 't', code, acceptsLoss }, undefined);
    expect(
      shown
        .map((line) => line.split(' ')[1])
        .filter((kind) => kind !== 'skip')
        .join(', '),
    ).toBe(kinds.replace(/,? or /, ', '));
  });

  it('asks after two tries of what no rule knows', () => {
    expect(explain({ policy: standard, script: script('unknown') }).steps.map(({ what }) => what)).toEqual([
      'attempt',
      'attempt',
      'question',
    ]);
  });

  it('never comes earlier than the other side asked, and parks for a wait beyond the budget', () => {
    const short = explain({ policy: standard, script: [{ code: 'http_503_retry_after', askedMs: 90_000 }, 'ok'] });
    expect(short.steps[1]!.waitMs.min).toBeGreaterThanOrEqual(90_000);
    const long = explain({ policy: standard, script: [{ code: 'http_429', askedMs: 3_600_000 }] });
    expect(long.steps.map(({ what, waitMs }) => [what, waitMs.typical])).toEqual([
      ['attempt', 0],
      ['park', 3_600_000],
    ]);
  });

  it('gives up a code of which more tries are no use, and says so', () => {
    const told = explain({ policy: standard, script: script('dns_unknown') });
    expect(waits(told)).toEqual([0, 30_000, 60_000, 0]);
    expect(told.steps[2]!.text).toBe('The name does not exist. So many failures of this kind do not pass by waiting.');
    expect(told.end).toBe('asking');
  });

  it('waits for an upstream without spending an attempt, and then has all of them', () => {
    const told = explain({
      policy: standard,
      script: script('http_503', 'breaker_open', 'http_503', 'http_503', 'ok'),
    });
    expect(told.steps.map(({ what, attempt, outcome }) => `${what} ${attempt} ${outcome}`.trim())).toEqual([
      'attempt 1 http_503',
      'attempt 2 breaker_open',
      'park 2',
      'attempt 2 http_503',
      'attempt 3 http_503',
      'attempt 4 ok',
    ]);
    expect(told.steps[2]!.text).toMatch(/until the breaker of the upstream admits calls\. Nobody is asked\.$/);
  });

  it('counts the time that attempts take against the budget', () => {
    const told = explain({ policy: standard, script: script('http_503'), tookMs: 120_000 });
    expect(told.steps.filter(({ what }) => what === 'attempt').length).toBeLessThan(8);
  });

  it('fails at the first spent budget where healing is off', () => {
    expect(explain({ policy: local, script: script('http_503'), heal: 'off' })).toMatchObject({ end: 'failed' });
  });
});

describe('a stage that names its upstream', () => {
  const breaker = { ...breakerDefaults, consecutive: 3, cooldownMs: 30_000 };
  const behind = { key: 'http:api', breaker, hasProbe: false };
  const short = { ...standard, budget: { attemptsMax: 3, time: '5 minutes' } } as const;
  const course = (told: ReturnType<typeof explain>): string[] =>
    told.steps.map(({ what, attempt, outcome }) => `${what} ${attempt} ${outcome}`.trim());

  it('waits for its breaker from the failure on that opens it, and says when that tries again', () => {
    const told = explain({ policy: standard, script: script('http_503'), behind });
    expect(course(told)).toEqual([
      'attempt 1 http_503',
      'attempt 2 http_503',
      'attempt 3 http_503',
      'attempt 4 breaker_open',
      'park 4',
    ]);
    // The cooldown is spread by up to a tenth, and the attempt that is refused has waited for 4 s of it.
    expect(waits(told)).toEqual([0, 1_000, 2_000, 4_000, 27_500]);
    expect(told.steps[2]!.text).toBe('The upstream is not available. The breaker opens. Tried again.');
    expect(told.steps.at(-1)!.text).toBe(
      'Parked, holding nothing, until the breaker of http:api admits calls: one trial (the run that has waited longest) goes 30 s after it opened, and after each that fails the wait doubles, up to 15 min. Nobody is asked.',
    );
    expect(told.end).toBe('waiting');
    expect(told.others).toMatch(/^This is a run that is alone: 3 failures in a row open the breaker of http:api, and/);
  });

  it('tries again after each cooldown, which doubles, and goes on as soon as the upstream is back', () => {
    const words = script('http_503', 'http_503', 'http_503', 'http_503', 'ok');
    const told = explain({ policy: standard, script: words, behind });
    expect(course(told).slice(4)).toEqual([
      'park 4',
      'attempt 4 http_503',
      'attempt 5 breaker_open',
      'park 5',
      'attempt 5 ok',
    ]);
    expect(told.steps[5]!.text).toBe('The upstream is not available. The breaker stays open. Tried again.');
    expect(told.steps[6]!.waitMs.typical + told.steps[7]!.waitMs.typical).toBe(63_000);
    expect(told.steps[7]!.text).toContain('goes 1 min after it opened');
    expect(told.end).toBe('done');
  });

  it('waits for no time of its policy where its last attempt opens the breaker', () => {
    const told = explain({ policy: short, script: script('http_503'), behind: { ...behind, hasProbe: true } });
    expect(course(told)).toEqual(['attempt 1 http_503', 'attempt 2 http_503', 'attempt 3 http_503', 'park 3']);
    expect(told.steps[2]!.text).toBe('The upstream is not available. The breaker opens.');
    expect(told.steps[3]).toMatchObject({
      waitMs: { typical: 31_500 },
      text: expect.stringContaining('one trial (its probe) goes 30 s after it opened') as string,
    });
  });

  it('waits for a time where its attempts are too few to open the breaker, and says that others do', () => {
    const told = explain({
      policy: short,
      script: script('http_503'),
      behind: { ...behind, breaker: breakerDefaults },
    });
    expect(told.steps.at(-1)).toMatchObject({ what: 'park', waitMs: { typical: 900_000 } });
    expect(told.others).toMatch(/5 failures in a row open .* where other runs fail as well it opens sooner\./);
  });

  it('asks as before about what no breaker counts; without a named upstream it says what a breaker would change', () => {
    expect(explain({ policy: standard, script: script('http_404'), behind })).toMatchObject({ end: 'asking' });
    expect(explain({ policy: standard, script: script('http_404', 'ok'), behind }).others).toBeUndefined();
    expect(explain({ policy: standard, script: script('http_503', 'ok') }).others).toMatch(
      /^This stage names no declared upstream\. /,
    );
  });
});
