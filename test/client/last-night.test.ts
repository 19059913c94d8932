// What is promised here: whoever comes in the morning learns from one command what failed, what healed it, and what is left; counted, not remembered.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { episodesOf, figuresOf, healedOf, healerOf, outagesOf } from '../../src/commands/support/night.ts';
import { startOf } from '../../src/stack/index.ts';
import { writeNotes } from '../../src/stack/keeper/process.ts';
import { writeStack } from '../../src/stack/state.ts';
import type { Move, Troubled } from '../../src/store/night.ts';
import { commandLineOf, type Ran } from '../support/client.ts';
import { openOutage, type Outage } from '../support/outage.ts';

const at = (minute: number): Date => new Date(Date.UTC(2026, 10, 22, 2, minute));
const trouble = (run: string, from: number, to: number | null, more: Partial<Troubled> = {}): Troubled => ({
  run,
  pipeline: 'copy',
  stage: 'load',
  state: to === null ? 'retrying' : 'done',
  failed: 1,
  lost: 0,
  firstAt: at(from),
  endedAt: to === null ? null : at(to),
  code: 'http_503',
  spent: false,
  decisions: 0,
  decided: false,
  released: false,
  ...more,
});

describe('an episode', () => {
  it('is one for all runs of a stage whose troubles overlap, and ends with the last of them', () => {
    const episodes = episodesOf([
      trouble('a', 0, 10),
      trouble('b', 5, 20, { stage: 'load[x]', code: 'breaker_open' }),
      trouble('c', 20, 21),
      trouble('d', 30, 31),
      trouble('e', 6, 7, { stage: 'fetch' }),
    ]);
    expect(
      episodes.map(({ stage, from, until, runs }) => [stage, from.getUTCMinutes(), until?.getUTCMinutes(), runs]),
    ).toEqual([
      ['load', 0, 21, 3],
      ['fetch', 6, 7, 1],
      ['load', 30, 31, 1],
    ]);
    expect(episodes[0]!.codes).toEqual({ http_503: 2, breaker_open: 1 });
  });

  it('counts as a page avoided only if it is over and nobody was asked', () => {
    const figures = figuresOf(
      episodesOf([
        trouble('a', 0, 4),
        trouble('b', 10, 12, { decisions: 1 }),
        trouble('c', 20, null),
        trouble('d', 30, 31, { stage: 'other', state: 'aborted' }),
      ]),
      at(26).getTime(),
    );
    expect(figures).toEqual({ ended: 3, open: 1, pagesAvoided: 1, meanMs: (4 + 2 + 1) * 20_000, openMs: 6 * 60_000 });
    expect(figuresOf([], 0)).toEqual({ ended: 0, open: 0, pagesAvoided: 0, meanMs: null, openMs: null });
  });
});

describe('what healed a stage', () => {
  it('is a decision before all, then the breaker, then time after a spent budget, else a retry', () => {
    expect(healerOf(trouble('a', 0, 1))).toBe('retry');
    expect(healerOf(trouble('a', 0, 1, { spent: true }))).toBe('time');
    expect(healerOf(trouble('a', 0, 1, { spent: true, code: 'breaker_open' }))).toBe('breaker');
    expect(healerOf(trouble('a', 0, 1, { code: 'breaker_open', decisions: 1, decided: true }))).toBe('decision');
    expect(healerOf(trouble('a', 0, 1, { decisions: 1 }))).toBe('retry');
    expect(healerOf(trouble('a', 0, 1, { code: 'breaker_open', released: true }))).toBe('person');
    expect(
      healedOf([
        trouble('a', 0, 1),
        trouble('b', 0, null, { failed: 3, lost: 2 }),
        trouble('d', 2, null, { failed: 0 }),
        trouble('c', 0, 1, { state: 'skipped' }),
      ]),
    ).toEqual({
      by: { retry: 1, breaker: 0, person: 0, time: 0, decision: 0 },
      ended: 1,
      open: 2,
      attemptsFailed: 5,
      attemptsLost: 2,
      unasked: 1,
      meanMs: 60_000,
      oldest: at(0),
    });
  });
});

describe('an outage', () => {
  const move = (minute: number, to: Move['to'], more: Partial<Move> = {}): Move => ({
    key: 'http:api',
    to,
    reason: to,
    hold: null,
    at: at(minute),
    ...more,
  });

  it('is from opening to back, its reopenings and trials with it', () => {
    const moves = [
      move(0, 'open', { reason: '5 in a row' }),
      move(1, 'half_open'),
      move(1, 'open', { hold: 'http_401' }),
      move(3, 'half_open'),
      move(4, 'ramping'),
      move(5, 'closed'),
      move(9, 'open'),
      move(2, 'open', { key: 'db:other' }),
    ];
    expect(outagesOf(moves, at(12).getTime())).toEqual([
      {
        upstream: 'http:api',
        openedAt: at(0),
        why: '5 in a row',
        hold: 'http_401',
        backAt: at(4),
        closedAt: at(5),
        downMs: 4 * 60_000,
        trials: 2,
        reopened: 1,
      },
      expect.objectContaining({ upstream: 'db:other', backAt: null, closedAt: null, downMs: 10 * 60_000 }),
      expect.objectContaining({ upstream: 'http:api', openedAt: at(9), trials: 0, downMs: 3 * 60_000 }),
    ]);
  });
});

describe('the morning after', () => {
  let night: Outage;
  let client: ReturnType<typeof commandLineOf>;
  const mendflow = (...argv: string[]): Promise<Ran> => client.mendflow(...argv);
  const done = async (n: number): Promise<void> =>
    expect
      .poll(async () => (await night.engine.rows("select 1 from mendflow.run where state = 'done'")).length, {
        timeout: 25_000,
      })
      .toBe(n);
  const closed = async (): Promise<void> =>
    expect.poll(async () => (await night.breaker()).state, { timeout: 25_000 }).toBe('closed');
  beforeAll(async () => {
    night = await openOutage();
    client = commandLineOf(night.engine, join(import.meta.dirname, 'outage-project'));
    await night.startWorker();
  });
  afterAll(async () => {
    await client?.close();
    await night?.api.close();
  });

  it('is told in figures: healed by retry, by the breaker, by a person, and what still asks', async () => {
    const quiet = (await mendflow('last-night')).out;
    expect(quiet).toMatch(
      /^Since .* \(12 h\): healthy\n {2}runs {6}none; nobody had to decide anything\n {2}failures {2}none\n/,
    );

    night.api.answer(({ nth }) => (nth === 1 ? 502 : 200));
    await night.runs(1, 'blip-');
    await done(1);
    night.api.answer(503);
    await night.runs(4, 'outage-');
    await night.parked(4);
    const during = (await mendflow('last-night', '--json')).json();
    expect(during).toMatchObject({
      health: 'degraded',
      failures: { open: 4 },
      notAdmitting: [{ upstream: 'http:api' }],
      outages: [{ upstream: 'http:api', backAt: null }],
    });
    // One may be on its trial just now, and then does not wait.
    const waits = (during as unknown as { waits: { until: string; upstream: string; stages: number }[] }).waits;
    expect(waits.every(({ until, upstream }) => until === 'upstream' && upstream === 'http:api')).toBe(true);
    expect(waits.reduce((sum, { stages }) => sum + stages, 0)).toBeGreaterThanOrEqual(3);
    night.api.answer(200);
    await done(5);
    await closed();
    night.api.answer(401);
    await night.runs(3, 'expired-');
    await night.parked(1, 'decision');
    await night.parked(2);
    night.api.answer(200);
    expect((await mendflow('retry', '--all', '--upstream', 'http:api', '--yes', '--reason', 'renewed')).code).toBe(0);
    await done(8);
    await closed();
    // A decision after its end healed nothing.
    await night.engine.rows(
      `insert into mendflow.decision (run_key, stage, token, kind, actor, reason, taken, text, at)
       select key, '', '', 'abort', 'anna', 'late', true, '', clock_timestamp() from mendflow.run where key like '%blip-1'`,
    );
    // As a killed worker leaves it: the second attempt ended well, and of the first nobody has heard. What an abort stopped is no such attempt.
    await night.engine.rows(
      `insert into mendflow.stage_run (run_key, generation, stage, state, attempts, ended_at)
       select key, 1, s.name, s.state, s.tried, clock_timestamp() from mendflow.run, (values ('killed', 'done', 2), ('stopped', 'aborted', 1)) s (name, state, tried) where key like '%blip-1'`,
    );
    night.api.answer(404);
    await night.runs(1, 'gone-');
    await night.parked(1, 'decision');

    const page = (await mendflow('last-night', '--since', '1 hour', '--json')).json<{
      failures: { by: Record<string, number> };
      outages: { why: string; hold: string | null; backAt: string | null; trials: number }[];
      episodes: { pagesAvoided: number };
    }>();
    expect(page).toMatchObject({
      health: 'degraded',
      runs: { done: 8, asking: 1 },
      decisions: 2,
      failures: { ended: 0, open: 1 },
      letters: { open: 0, written: 0 },
      waits: [{ until: 'decision', code: 'http_404', stages: 1 }],
    });
    expect(Object.values(page.failures.by).reduce((sum, one) => sum + one, 0)).toBe(9);
    expect(page.failures.by).toMatchObject({ decision: 1 });
    expect(page.failures.by['retry']).toBeGreaterThanOrEqual(1);
    expect(page.failures.by['breaker']).toBeGreaterThanOrEqual(4);
    expect(page.outages).toHaveLength(2);
    expect(page.outages.map(({ hold }) => hold)).toEqual([null, 'http_401']);
    expect(page.outages.every(({ backAt, trials }) => backAt !== null && trials >= 1)).toBe(true);
    expect(page.episodes.pagesAvoided).toBe(3);

    const { out } = await mendflow('last-night');
    expect(out).toMatch(/^Since .* \(12 h\): not healthy now: 1 question waits\n/);
    expect(out).toMatch(
      /\nhttp:api .* too many calls failed\nhttp:api .* a fault that time does not heal \(http_401\)\n/,
    );
    expect(out).toMatch(/ {2}runs {6}.*8 done.*; 2 decisions taken, 1 question waits\n/);
    expect(out).toMatch(
      /failures {2}\d+ attempts failed, 1 left no report: its worker ended, froze, or could not reach the control store\n {2}healed {4}9 stages: \d by trying again, \d when the upstream was back,.* 1 after a decision\n {2}not over {2}1 stage, the oldest since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \(/,
    );
    expect(out).toMatch(
      / {2}unasked {3}8 of 9 stages that are over needed nobody; the trouble of each lasted .+ on average\n/,
    );
    expect(out).toMatch(
      /RUN +STAGE +ATTEMPTS FAILED +NO REPORT +LAST CODE +FROM +OVER +HOW\ncall\/\S*gone-1 +ask +1 +0 +http_404 +\S+ \S+Z +not yet +asking\n/,
    );
    expect(out).toMatch(/call\/\S*blip-1 +killed +0 +1 +worker_lost .* by trying again\n/);
    expect(out).toMatch(/OUTAGE +OPENED +BACK +CLOSED +DOWN +TRIALS +REOPENED +WHY\nhttp:api /);
    expect(out).toMatch(/call\/ask +\d of 9/);
    expect(out).toMatch(/STAGES WAITING .*\n1 +a decision +http_404/);
    expect(out).toContain('mendflow runs --state asking');
  });

  it('counts the letters that its command lists, samples of a stop and more than a list shows among them', async () => {
    const [run] = await night.engine.rows<{ key: string }>('select key from mendflow.run limit 1');
    // As the flow leaves them: letters of bad records, and of a stop at the limit its evidence.
    await night.engine.rows(
      `with s as (insert into mendflow.source (pipeline, name) values ('call', 'some.log') returning id)
       insert into mendflow.dead_letter (id, source_id, off, len, stage, run_key, generation, raw, raw_whole, raw_sha256, detail, key_id, code, fingerprint, sample, state)
       select gen_random_uuid(), s.id, n, 1, 'load', $1, 1, '', true, '', '', 'test', 'record_invalid', '', n > 110, case when n > 120 then 'superseded' else 'open' end
       from s, generate_series(1, 125) n`,
      [run!.key],
    );
    const { out } = await mendflow('last-night', '--since', '1 hour');
    const told = / {2}letters {3}125 written, 120 open now, 10 of them samples of a stop: mendflow (.*)\n/.exec(out);
    expect(told, out).not.toBeNull();
    const listed = await mendflow(...told![1]!.split(' '));
    expect(listed.out.trim().split('\n')).toHaveLength(120 + 1);
    expect((await mendflow('last-night', '--json')).json()).toMatchObject({ letters: { written: 125, open: 120 } });
    const ofRun = / {2}letters {2}120 open, 5 superseded: mendflow (.*)\n/.exec((await mendflow('show', run!.key)).out);
    expect((await mendflow(...ofRun![1]!.split(' '))).out.trim().split('\n')).toHaveLength(125 + 1);
    await night.engine.rows('delete from mendflow.dead_letter');
  });

  it('tells of a decision that did not help, of a breaker that a person released, and what aborted runs gave up', async () => {
    const [blip] = await night.engine.rows<{ key: string }>("select key from mendflow.run where key like '%blip-1'");
    const at = (seconds: number): string => `clock_timestamp() - interval '60 seconds' + interval '${seconds} seconds'`;
    await night.engine.rows(
      `insert into mendflow.stage_run (run_key, generation, stage, state, attempts, first_at, ended_at, attempt_at, code, text)
       select $1, 1, stage, 'done', 3, ${at(0)}, ${at(50)}, ${at(40)}, code, text from (values
         ('decided', 'http_503', ''), ('tried', 'http_503', ''), ('asked', 'http_503', ''), ('freed', 'breaker_open', 'See: npx mendflow breakers show http:freed')) s (stage, code, text)`,
      [blip!.key],
    );
    await night.engine.rows(
      `insert into mendflow.attempt (run_key, generation, stage, attempt, attempts_max, code, class, text, worker, at)
       select $1, 1, stage, n, 9, 'http_503', 'transient', 'away.', 'here:1', case n when 1 then ${at(5)} else failed end
       from generate_series(1, 2) n, (values ('decided', ${at(6)}), ('tried', ${at(20)}), ('asked', ${at(20)})) s (stage, failed)`,
      [blip!.key],
    );
    await night.engine.rows(
      `insert into mendflow.decision (run_key, stage, token, kind, actor, reason, taken, text, at)
       select $1, stage, 'x', 'retry', 'anna', 'now', true, '', ${at(10)} from (values ('decided'), ('tried'), ('asked')) s (stage)`,
      [blip!.key],
    );
    // It asked, was decided, failed once more within its new budget and was well: no wait healed it.
    await night.engine.rows(
      `insert into mendflow.past_park (run_key, token, stage, until, code, attempts, elapsed_ms, since, ended_at)
       values ($1, 'x', 'asked', 'decision', 'http_503', 1, 0, ${at(7)}, ${at(10)})`,
      [blip!.key],
    );
    await night.engine.rows(
      `insert into mendflow.breaker_event (key, kind, epoch, from_state, to_state, reason, detail, at)
       values ('http:freed', 'mode', 1, 'open', 'open', 'forced_closed', '{"by": "anna"}', ${at(30)})`,
    );
    await night.engine.rows(
      `insert into mendflow.run (key, pipeline, data_date, scope, generation, state, closed_at, closed)
       select 'call/lost/' || n, 'call', 'lost', n::text, 1, 'aborted', clock_timestamp(), '{"balance": {"uncountedBytes": 250}}' from generate_series(1, 4) n`,
    );
    const { stages } = (await mendflow('last-night', '--json')).json<{
      stages: { stage: string; healedBy: string }[];
    }>();
    expect(
      ['decided', 'tried', 'asked', 'freed'].map((name) => stages.find(({ stage }) => stage === name)?.healedBy),
    ).toEqual(['decision', 'time', 'decision', 'person']);
    expect((await mendflow('last-night')).out).toContain(
      '\n  given up  in 4 runs (call/lost/1, call/lost/2, call/lost/3 and 1 more), lost: 1,000 bytes of which nothing is loaded',
    );
    await night.engine.rows("delete from mendflow.run where data_date = 'lost'");
    await night.engine.rows("delete from mendflow.stage_run where stage in ('decided', 'tried', 'asked', 'freed')");
    await night.engine.rows("delete from mendflow.past_park where stage = 'asked'");
  });

  it('tells which processes of the stack ended by themselves in that time', async () => {
    expect((await mendflow('last-night')).out).not.toContain('restarts');
    const keeper = { process: { pid: process.pid, startedAt: startOf(process.pid)! }, fingerprint: '' };
    writeStack(client.dir, { postgres: 'given', temporal: 'given', workersWanted: 0, workers: [], keeper });
    const repair = (what: string, hoursAgo: number) => ({
      at: new Date(Date.now() - hoursAgo * 3_600_000).toISOString(),
      what,
      lastWords: 'It was killed.',
    });
    const repairs = [repair('Temporal', 13), repair('worker-1', 3), repair('Postgres', 2), repair('worker-1', 2)];
    writeNotes(client.dir, { repairs });
    expect((await mendflow('last-night')).out).toMatch(
      /\n {2}restarts {2}3 ended by themselves and were started again \(worker-1 2 times, Postgres\), the last at \d{4}-\S+ \S+Z: mendflow stack status\n/,
    );
    expect(
      (await mendflow('last-night', '--since', '1 day', '--json')).json<{ restarts: object[] }>().restarts,
    ).toHaveLength(4);
  });

  it('begins where the reader says, and refuses a time to come', async () => {
    const none = (await mendflow('last-night', '--since', '1 ms', '--json')).json();
    expect(none).toMatchObject({
      runs: { asking: 1 },
      failures: { open: 1, by: { retry: 0, breaker: 0 } },
      decisions: 0,
      outages: [],
    });
    expect(none).toMatchObject({
      asking: 1,
      failures: { attemptsFailed: 0 },
      stages: [{ failed: 0, code: 'http_404' }],
    });
    const { out } = await mendflow('last-night', '--since', '1 ms');
    expect(out).toMatch(/ {2}runs {6}1 asking; nobody has decided anything, and 1 question waits\n/);
    expect(out).toMatch(/ {2}failures {2}no attempt failed\n {2}not over {2}1 stage, /);
    for (const since of ['tomorrow', '2999-01-01', '2026-02-31', '2026-02-31T10:00:00Z', '12', '2026-11-22T20:00:00'])
      expect((await mendflow('last-night', '--since', since)).code, since).toBe(2);
  });
});
