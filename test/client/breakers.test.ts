// What is promised here: what a breaker does is told in words with what happens next, an operator's word is kept with who and why,
// and runs that wait for an upstream are shown as such everywhere.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { checkSpecs } from '../../src/commands/support/check-parts.ts';
import type { AnySpec } from '../../src/model/spec.ts';
import { openUpstreams } from '../../src/connectors/upstream.ts';
import { secret } from '../../src/model/upstream.ts';
import { call } from '../engine/pipelines-outage.ts';
import { commandLineOf, type Ran } from '../support/client.ts';
import { openOutage, type Outage } from '../support/outage.ts';

let at: Outage;
let client: ReturnType<typeof commandLineOf>;
const mendflow = (...argv: string[]): Promise<Ran> => client.mendflow(...argv);
beforeAll(async () => {
  at = await openOutage({ upstream: { breaker: { consecutive: 3, workersMin: 1, cooldownMs: 700, rampMs: 500 } } });
  client = commandLineOf(at.engine, join(import.meta.dirname, 'outage-project'));
  await at.startWorker();
});
afterAll(async () => {
  await client?.close();
  await at?.api.close();
});

/** Who wonders why failures did not open a breaker looks here, and finds it. */
const REPEATS =
  "of what one run's stage meets again only the first failure counts while others are answered; a connection that fails always counts";

describe('an upstream that is away', () => {
  it('is shown with its breaker, who waits, and what happens next by itself', async () => {
    at.api.answer(503);
    await at.runs(4, 'away-');
    await at.parked(4);
    const tried = `select 1 from mendflow.breaker_event where key = 'http:api' and reason = 'trial failed'`;
    await expect.poll(async () => (await at.engine.rows(tried)).length, { timeout: 20_000 }).toBeGreaterThan(0);
    // Held open, so that what is shown does not move while it is looked at.
    const forced = await mendflow('breakers', 'force-open', 'api', '--for', '1 hour', '--reason', 'they move house');
    expect(forced).toMatchObject({ code: 0, err: '' });
    expect(forced.out).toMatch(
      /^Done: http:api is forced open\. No call is made; it goes back to auto by itself at [-\d]+ [:\d]+Z \(in (59 min|1 h)/,
    );

    // A run that was sent ahead a moment before comes back.
    const parked = async (): Promise<number> =>
      (await mendflow('runs', '--state', 'parked', '--json')).json<object[]>().length;
    await expect.poll(parked, { timeout: 20_000 }).toBe(4);
    const listed = await mendflow('breakers', 'list');
    // Since it was forced, not since the state before.
    const [{ ms } = { ms: 0 }] = await at.engine.rows<{ ms: number }>(
      `select extract(epoch from at)::float8 * 1000 as ms from mendflow.breaker_event where key = 'http:api' and kind = 'mode'`,
    );
    const [first] = (await mendflow('breakers', 'list', '--json'))
      .json<{ key: string; since: string }[]>()
      .filter(({ key }) => key === 'http:api');
    expect(first!.since).toBe(new Date(ms).toISOString());
    expect(listed.out).toMatch(/http:api is forced open since .*Z: forced open by anna, because "they move house"/);
    expect(listed.out).toMatch(/4 parked.*, the oldest since \S+ \S+Z\. No call is made/);

    const shown = await mendflow('breakers', 'show', 'http:api');
    expect(shown.out).toContain(`  repeats   ${REPEATS}\n`);
    expect(shown.out).toMatch(
      /closed → open: threshold \(\d of \d calls failed, \d in a row, seen by worker worker-1, cooldown [^,]*, the last with http_503 from 127\.0\.0\.1:\d+, in call\/\S+ ask\)/,
    );
    expect(shown.out).toMatch(/forced open until \S+ \S+Z \(for 1 h\) by anna, because "they move house"/);
    expect(shown.out).toMatch(/mendflow breakers auto http:api --reason "…"/);
    // What stands behind it, and each trial that failed, with the host.
    expect(shown.out).toMatch(
      /failure {3}http_503 from 127\.0\.0\.1:\d+, in call\/\S+ ask at .*Z: The upstream is not available\./,
    );
    expect(shown.out).toMatch(/half-open → open: trial failed \(.*the last with http_503 from 127\.0\.0\.1:\d+/);
    const page = (await mendflow('breakers', 'show', 'http:api', '--json')).json<{ waits: object; events: object[] }>();
    expect(page).toMatchObject({
      key: 'http:api',
      mode: 'forced_open',
      modeBy: 'anna',
      modeWhy: 'they move house',
      admit: false,
      says: 'forced open',
      waits: { parked: 4, asking: 0, deadline: null },
    });
    // The trial that was under way may end after it.
    expect(page.events).toContainEqual(
      expect.objectContaining({
        kind: 'mode',
        reason: 'forced_open',
        detail: expect.objectContaining({ by: 'anna' }) as object,
      }),
    );
  });

  it('is named by runs, show, logs and doctor as what the run waits for', async () => {
    const runs = (await mendflow('runs', '--state', 'parked', '--json')).json<{ waiting: string }[]>();
    expect(runs).toHaveLength(4);
    expect(runs[0]!.waiting).toBe('ask waits for http:api: breaker_open');
    const show = await mendflow('show', 'away-1');
    expect(show.out).toMatch(
      /ask waits for http:api since .*; (goes on by itself when its breaker admits it|was let go)/,
    );
    expect(show.out).toMatch(/http:api is forced open\. No call is made/);
    expect(show.out).toMatch(
      /\nretry tries the stage again now, with its whole budget \(but makes no call while http:api is forced open, and waits again\); /,
    );
    // What an operator set wins over what the call was told before.
    expect(show.out.slice(show.out.indexOf('ask waits for'))).not.toContain('The next trial is');
    expect(show.out).toMatch(/See mendflow breakers show http:api/);
    expect(show.out).toMatch(/Nothing has to be done/);
    expect((await mendflow('show', 'away-1', '--json')).json()).toMatchObject({
      waits: [{ until: 'upstream', upstream: 'http:api', wakeAt: null }],
      breakers: [{ key: 'http:api', says: 'forced open' }],
    });
    expect((await mendflow('logs', 'away-1')).out).toMatch(/waits for http:api: breaker_open/);
    const { checks } = (await mendflow('doctor', '--json')).json<{
      checks: { name: string; says: string; mend: string }[];
    }>();
    expect(checks.find(({ name }) => name === 'Breaker')).toMatchObject({
      state: 'note',
      says: expect.stringMatching(/^http:api is forced open: 4 parked/) as string,
      mend: 'mendflow breakers show http:api',
    });
  });

  it('lets everything go on when the operator says so and it is back', async () => {
    const watched = mendflow('start', 'call', '--date', '2026-11-21', '--set', 'id=watched', '--wait');
    await at.parked(5);
    at.api.answer(200);
    const ran = await mendflow('breakers', 'auto', 'http:api', '--reason', 'they are back');
    expect(ran.out).toMatch(/^Done: http:api is /);
    await expect
      .poll(async () => (await mendflow('runs', '--state', 'done', '--json')).json<object[]>().length, {
        timeout: 20_000,
      })
      .toBe(5);
    expect((await mendflow('logs', 'away-1')).out).toMatch(
      /park +ask {2}waited for http:api until \S+ \S+Z: breaker_open after .*\n[^]* closed +done\n$/,
    );
    const waited = await watched;
    expect(waited.code).toBe(0);
    expect(waited.out).toMatch(/ask +parked +0 attempts, breaker_open, until http:api is back\n[^]*ask +done/);
    await expect
      .poll(async () => (await mendflow('breakers', 'list')).out, { timeout: 20_000 })
      .toMatch(/http:api is closed/);
    expect((await mendflow('breakers', 'show', 'api')).out).toMatch(/half-open → ramping: trials passed/);
  });
});

describe('an operator', () => {
  it('is refused what cannot be meant, and nothing is changed', async () => {
    const before = await at.engine.rows('select * from mendflow.breaker order by key');
    const wrong: [string[], number, RegExp][] = [
      [['show', 'nothing'], 6, /no upstream "nothing"; there is db:other, http:api/],
      [['force-open', 'api', '--reason', 'x'], 2, /--for/],
      [['force-close', 'api', '--for', '1 hour'], 2, /--reason/],
      [
        ['force-open', 'api', '--for', 'ever', '--reason', 'x'],
        2,
        /--for has to be a duration .* `mendflow help breakers force-open`/,
      ],
      [['force-open', 'api', '--for', '1 hour', '--reason', ' '], 2, /--reason has to say why/],
      [['observe', 'api'], 2, /--reason/],
      [['auto', 'api'], 2, /--reason/],
    ];
    for (const [argv, code, says] of wrong) {
      const ran = await mendflow('breakers', ...argv);
      expect(ran.code, argv.join(' ')).toBe(code);
      expect(ran.err).toMatch(says);
    }
    expect(await at.engine.rows('select * from mendflow.breaker order by key')).toEqual(before);
  });

  it('may force one that was declared and never called, observe it, and give it back', async () => {
    const closed = await mendflow(
      'breakers',
      'force-close',
      'other',
      '--for',
      '15 minutes',
      '--reason',
      'its probe lies',
    );
    expect(closed.out).toMatch(
      /db:other is forced closed\. Every call is made, whatever it meets; it goes back to auto by itself at [-\d]+ [:\d]+Z \(in 1\d min.*\)\. Nothing protects the upstream until then/,
    );
    expect((await mendflow('breakers', 'observe', 'other', '--reason', 'x', '--json')).json()).toMatchObject({
      mode: 'observe',
      says: 'observe (closed)',
    });
    expect((await mendflow('breakers', 'observe', 'other', '--for', '1 hour', '--reason', 'x')).out).toMatch(
      /db:other is observe \(closed\)\. It counts, and lets every call through; it goes back to auto by itself at [-\d]+ [:\d]+Z \(in (59 min|1 h)/,
    );
    expect((await mendflow('breakers', 'auto', 'other', '--reason', 'x', '--json')).json()).toMatchObject({
      mode: 'auto',
      admit: true,
      because: 'auto by anna, because "x"',
    });
    const { out } = await mendflow('breakers', 'show', 'other');
    expect(out.slice(out.indexOf('What happened')).match(/forced closed|observe|auto/g)).toEqual([
      'forced closed',
      'observe',
      'observe',
      'auto',
    ]);
  });
});

describe('check', () => {
  it('finds what would keep a worker from starting: a wrong declaration, and an upstream that is none', () => {
    const wrong = checkSpecs([call.spec as unknown as AnySpec], {
      'http:other': { address: 'example.com', breaker: { consecutive: 0 } },
    });
    expect(wrong.state).toBe('fault');
    expect(wrong.faults).toEqual([
      expect.stringMatching(/"http:other" has the address "example.com"; it has to begin with/) as string,
      expect.stringMatching(/breaker setting consecutive = 0/) as string,
      expect.stringMatching(/^Stage call\/ask names the upstream "http:api", which is not declared/) as string,
    ]);
    const right = checkSpecs([call.spec as unknown as AnySpec], { 'http:api': { address: 'http://localhost' } });
    expect(right).toMatchObject({ state: 'ok', says: 'Pipelines: call. Upstreams: http:api.' });
  });
});

/** What the Web UI shows of these. */
const pagesOf = async (ids: readonly string[]): Promise<string> =>
  (
    await Promise.all(
      ids.map(
        async (id) =>
          (
            await at.engine.client.workflow
              .getHandle(id)
              .query<{ currentDetails?: string }>('__temporal_workflow_metadata')
          ).currentDetails ?? '',
      ),
    )
  ).join('\n');

describe('a hold', () => {
  it('says that time does not heal it, and which command does', async () => {
    at.api.answer(401);
    await at.runs(3, 'held-');
    await at.parked(1, 'decision');
    await at.parked(2);
    const { out } = await mendflow('breakers', 'show', 'http:api');
    expect(out).toMatch(/http:api is (open|half-open), held by http_401/);
    expect(out).toMatch(
      /next {6}Time does not heal http_401: mend its cause\. By itself only another credential is tried, .* is noticed within a minute, and one parked run tries it at once, each value once, whatever is left of the cooldown; if it is accepted, parked runs go on\. .* The run that asks needs its `retry` either way/,
    );
    expect(out).toMatch(/failure {3}http_401 from 127\.0\.0\.1:\d+, in call\/\S*held-\d ask at .*Z: /);
    expect(out).toMatch(/waits {5}2 parked.*; 1 asks/);
    expect(out).toContain('mendflow retry --all --upstream http:api --code http_401 --reason "…"');
    expect(out).toMatch(/window {4}emptied when it opened/);
    expect(out).toContain('\nOnce the cause is mended, one of:\n');
    expect(out).toMatch(/cooldown {2}\S+ \S+ next, if its trial fails/);
    const parks = await at.parks();
    const asks = parks.find(({ until }) => until === 'decision')!;
    const waits = parks.find(({ until }) => until === 'upstream')!;
    const show = (await mendflow('show', waits.run_key)).out;
    expect(show).toMatch(/; does not go on by time alone, which does not heal http_401\n/);
    expect(show).toContain(`mendflow retry ${asks.run_key} ask --token ${asks.token} --reason "…"`);
    expect(show).toMatch(/What to look at: .*credentials\.md/);
    expect(show).not.toContain('Nothing has to be done');
    // What the refused call was told is over by the time somebody reads it.
    expect(show).not.toContain('no call was made');
    const told = await pagesOf(parks.flatMap(({ until, workflow_id: id }) => (until === 'upstream' ? [id] : [])));
    expect(told).toMatch(
      /http_401 holds its breaker, which time does not heal\. By itself only another credential is tried: .* After any other mend let all go on with .* Runbook: credentials\.md in ops\/runbooks/,
    );
    expect(await mendflow('retry', '--all', '--upstream', 'http:apy', '--reason', 'x', '--yes')).toMatchObject({
      code: 6,
      err: expect.stringMatching(/no upstream "http:apy"; there is db:other, http:api\. Nothing was changed/) as string,
    });
    const asked = async (): Promise<string> => (await mendflow('show', asks.run_key)).out;
    expect(await asked()).not.toMatch(/accepts calls again|makes no call/);
    at.api.answer(200);
    expect((await mendflow('retry', waits.run_key, '--reason', 'try it')).code).toBe(0);
    await expect
      .poll(asked, { timeout: 20_000 })
      .toMatch(/\n {2}Since \S+ \S+Z http:api accepts calls again: `retry` is enough\.\n/);
    expect((await mendflow('breakers', 'show', 'http:api')).out).toMatch(/failure {3}http_401 /);
    // By its name alone, as all commands take it.
    const retried = await mendflow('retry', '--all', '--upstream', 'api', '--reason', 'token renewed', '--yes');
    expect(retried).toMatchObject({ code: 0 });
    expect(retried.out).toMatch(/Taken 1, refused 0, not confirmed 0\.\n$/);
    await expect
      .poll(async () => (await mendflow('runs', '--state', 'done', '--json')).json<object[]>().length, {
        timeout: 20_000,
      })
      .toBe(8);
  });
});

describe('explain', () => {
  it('knows the breaker of the upstream that a stage names', async () => {
    const { out } = await mendflow('explain', 'call', 'ask', '--when', 'http_503');
    expect(out).toContain(
      'until the breaker of http:api admits calls: one trial (its probe) goes 1 min 30 s after it opened',
    );
    expect(out).toMatch(/\nThis is a run that is alone: \d failures in a row open the breaker of http:api/);
  });
});

describe('upstreams', () => {
  it('shows what the workers use, and where this shell has it in another way', async () => {
    process.env['OUTAGE_TOKEN'] = 'sesame';
    try {
      const { out } = await mendflow('upstreams');
      expect(out).toMatch(/^http:api {2}\S+/);
      expect(out).toContain(`address   ${at.api.url}\n`);
      expect(out).toContain('limits    2.0 s a call, 10 at once in one worker, not paced');
      expect(out).toMatch(/breaker {3}opens after 3 failures in a row, .*; cooldown 700 ms, doubling to 15 min/);
      expect(out).toContain(`  repeats   ${REPEATS}\n`);
      expect(out).toContain('stages    call/ask, due/ask');
      expect(out).toMatch(/as used {3}by worker worker-1, since \S+ \S+Z\n/);
      expect(out).toMatch(
        /differs {3}this shell has address http:\/\/…@127\.0\.0\.1:9\/base, slowMs 1000, .*probe \/health, breaker \{"cooldownMs":90000,.*\}, codes/,
      );
      expect(out).toMatch(
        /db:other .*\n {2}address {3}another database\n(.*\n)*? {2}as used {3}by no worker now; this is how this shell has it/,
      );
      expect(out).not.toMatch(/sesame|hunter2/);
      const { upstreams } = (await mendflow('upstreams', '--json')).json<{ upstreams: object[] }>();
      expect(upstreams).toMatchObject([
        {
          key: 'http:api',
          timeoutMs: 2_000,
          workers: ['worker-1'],
          differs: [
            { who: 'this shell', in: { secrets: [{ name: 'OUTAGE_TOKEN', header: 'authorization', set: true }] } },
          ],
        },
        { key: 'db:other', stages: [], probe: null, callsPerSecond: null, workers: [], since: null },
      ]);
    } finally {
      delete process.env['OUTAGE_TOKEN'];
    }
  });

  it('names a worker that has it in another way, with a secret that is not set, until it ends', async () => {
    const other = await openUpstreams(
      {
        'http:api': {
          address: 'http://ben:canary@127.0.0.1:9/moved',
          headers: { authorization: secret('OTHER_TOKEN') },
          good: () => true,
        },
      },
      {
        control: at.engine.pool,
        databaseUrl: String(at.engine.pool.options.connectionString),
        worker: 'worker-9',
        readSecret: () => undefined,
      },
    );
    const { out } = await mendflow('upstreams');
    expect(out).toMatch(/as used {3}by worker worker-1, since/);
    expect(out).toMatch(
      /differs {3}worker-9, since \S+ \S+Z, has address http:\/\/…@127\.0\.0\.1:9\/moved, .*judges true, secrets .*"set":false,"name":"OTHER_TOKEN"/,
    );
    // Runs go to either of them, so that all is not well.
    const ill = await mendflow('doctor');
    expect(ill.out).toMatch(
      /✖ Settings differ +workers use http:api in 2 ways, .*worker-1, since \S+ \S+Z: address http:\/\/127\.0\.0\.1:\d+, .*worker-9, since \S+ \S+Z: address http:\/\/…@127\.0\.0\.1:9\/moved, .*\n +→ End those whose settings are wrong: worker worker-1, or worker worker-9\./,
    );
    expect(out + ill.out).not.toContain('canary');
    await other.close();
    expect((await mendflow('upstreams')).out).not.toContain('worker-9');
    expect((await mendflow('doctor')).out).not.toContain('Settings differ');
  });

  it('answers while the database is away, and says so', async () => {
    const before = process.env['DATABASE_URL'];
    process.env['DATABASE_URL'] = 'postgres://nobody@127.0.0.1:9/nothing';
    try {
      const ran = await mendflow('upstreams');
      expect(ran.code).toBe(0);
      expect(ran.err).toMatch(/^The states are unknown: The database does not answer/);
      expect(ran.out).toMatch(/^http:api {2}state unknown\n/);
    } finally {
      process.env['DATABASE_URL'] = before;
    }
  });
});
