// What is promised here: what document 000 asks of whoever watches: its monitoring table, its health check, and what the patterns replace; asked from the command line.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { type DailyEngine, openDailyEngine } from '../daily-report/engine-scene.ts';
import { commandLineOf, type Ran } from '../support/client.ts';

let at: DailyEngine;
let client: ReturnType<typeof commandLineOf>;
/** The command line as a user of this package has it: without a project of his own. */
const mendflow = (...argv: string[]): Promise<Ran> => client.mendflow(...argv);
beforeAll(async () => {
  at = await openDailyEngine();
  client = commandLineOf(at.engine, join(import.meta.dirname, '..', '..'));
});
afterAll(async () => {
  await client?.close();
  await at?.upstream.stop();
});

interface Night {
  readonly health: string;
  readonly notAdmitting: readonly { readonly upstream: string }[];
  readonly letters: { readonly open: number; readonly written: number };
  readonly outages: readonly { readonly upstream: string; readonly backAt: string | null; readonly downMs: number }[];
  readonly episodes: { readonly meanMs: number | null; readonly pagesAvoided: number };
  readonly retryRates: readonly { readonly stage: string; readonly retried: number; readonly stages: number }[];
  readonly failures: { readonly by: Readonly<Record<string, number>> };
  readonly waits: readonly object[];
}
const night = async (): Promise<Night> => (await mendflow('last-night', '--json')).json<Night>();
const state = async (date: string): Promise<string | undefined> =>
  (
    await at.engine.rows<{ state: string }>('select state from mendflow.run where key = $1', [`daily-report/${date}`])
  )[0]?.state;

describe('000-10 stop, or go on with other data', () => {
  it('without other data a run does neither: it waits, says for what, and goes on by itself', async () => {
    at.upstream.script([{ on: 'any', fault: { kind: 'status', status: 503 } }]);
    await at.start('2018-02-01');
    await expect.poll(() => state('2018-02-01'), { timeout: 20_000 }).toBe('parked');
    // Now and then it is sent ahead to try, and is back a moment later.
    const told = async (): Promise<string> => (await mendflow('show', 'daily-report/2018-02-01')).out;
    await expect
      .poll(told, { timeout: 20_000 })
      .toMatch(/extract waits for http:main_api since .*: breaker_open[^]*Nothing has to be done/);
    expect(await at.engine.rows('select from quakes')).toEqual([]);
  });
});

describe('000-15 the health of the pipelines', () => {
  it('is degraded while a circuit is open, and names it', async () => {
    expect(await night()).toMatchObject({ health: 'degraded', notAdmitting: [{ upstream: 'http:main_api' }] });
    expect((await mendflow('breakers', 'list')).out).toMatch(/http:main_api is (open|half-open) since/);
    const doctor = async (): Promise<string | undefined> =>
      (await mendflow('doctor', '--json'))
        .json<{ checks: { name: string; says: string }[] }>()
        .checks.find(({ name }) => name === 'Breaker')?.says;
    await expect.poll(doctor, { timeout: 20_000 }).toMatch(/^http:main_api is (open|half-open): 1 parked/);
  });

  it('is healthy again when it has closed, with what is pending in figures', async () => {
    at.upstream.script([]);
    await expect.poll(() => state('2018-02-01'), { timeout: 20_000 }).toBe('done');
    await expect.poll(async () => (await night()).health, { timeout: 20_000 }).toBe('healthy');
    expect(await night()).toMatchObject({ notAdmitting: [], waits: [], letters: { open: 0 } });
  });

  it('is degraded while somebody is asked, however well the circuits are', async () => {
    at.upstream.script([{ on: 'count', fault: { kind: 'status', status: 404 } }]);
    await at.start('2018-02-02');
    await expect.poll(() => state('2018-02-02'), { timeout: 20_000 }).toBe('asking');
    expect(await night()).toMatchObject({
      health: 'degraded',
      notAdmitting: [],
      waits: [{ until: 'decision', code: 'http_404' }],
    });
    at.upstream.script([]);
    expect((await mendflow('retry', '--all', '--code', 'http_404', '--yes', '--reason', 'the path is back')).code).toBe(
      0,
    );
    await expect.poll(() => state('2018-02-02'), { timeout: 20_000 }).toBe('done');
  });
});

describe('000-14 what to monitor', () => {
  it('retry rate by stage, trips of breakers, dead letters and the mean time to recovery are counted; nobody has to keep counters', async () => {
    at.upstream.script([{ on: 'query', count: 1, fault: { kind: 'status', status: 502 } }]);
    expect(await at.run('2018-02-03')).toMatchObject({ state: 'done' });
    const page = await night();
    const extract = page.retryRates.find(({ stage }) => stage === 'extract');
    expect(extract?.stages).toBe(3);
    expect(extract?.retried).toBe(3);
    expect(page.retryRates.map(({ stage }) => stage)).toEqual(['extract']);
    expect(page.outages).toHaveLength(1);
    expect(page.outages[0]).toMatchObject({ upstream: 'http:main_api', backAt: expect.any(String) as string });
    expect(page.letters).toEqual({ open: 0, samples: 0, written: 0 });
    expect(page.episodes.meanMs).toBeGreaterThan(0);
    // The outage and the 502 were nobody's; the 404 was a person's.
    expect(page.episodes.pagesAvoided).toBe(2);
    expect(page.failures.by).toMatchObject({ decision: 1 });
  });

  it("document 000's own code counts one of its five: contradiction 23", async () => {
    const { out } = await mendflow('last-night');
    for (const word of ['failures', 'unasked', 'letters', 'OUTAGE', 'NEEDED A RETRY']) expect(out).toContain(word);
  });
});

describe('000-16 what this replaces', () => {
  it('a source that is down is known without reading logs, by name and with what happens next', async () => {
    const declared = (await mendflow('upstreams')).out;
    expect(declared).toMatch(/http:main_api .*\n {2}address .*\n(.*\n)* {2}stages {4}daily-report\/extract/);
    expect((await mendflow('breakers', 'show', 'main_api')).out).toMatch(
      /closed → open: threshold \(\d+ of \d+ calls failed/,
    );
  });

  it('the balance of a run is that of its records, however many stages they passed', async () => {
    const ran = await mendflow('start', 'daily-report', '--date', '2018-02-03', '--json');
    expect(ran.json()).toMatchObject({ state: 'already-done' });
    const shown = (await mendflow('show', 'daily-report/2018-02-03', '--json')).json<{
      read: number;
      loaded: number;
    }>();
    expect(shown).toMatchObject({ balanced: true, read: 259, loaded: 259, duplicate: 0, quarantined: 0, skipped: 0 });
    const listed = (await mendflow('runs', '--date', '2018-02-03', '--json')).json<object[]>();
    expect(listed).toMatchObject([{ read: 259, loaded: 259 }]);
  });

  it('each pattern can be taken alone: a failure is named without runs, breakers or stores', () => {
    expect(classify(Object.assign(new Error('x'), { statusCode: 503 }))).toMatchObject({
      code: 'http_503',
      class: 'transient',
    });
  });
});
