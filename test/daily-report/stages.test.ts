// What is promised here: a day of real earthquakes becomes rows, figures and a page, each record is in exactly one bin, and doing it again changes nothing.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dates, type DailyScene, metricsOf, openScene, rawOf, runOf } from './scene.ts';

let at: DailyScene;
beforeAll(async () => {
  at = await openScene();
});
afterAll(() => at?.end());
afterEach(() => at.upstream.script([]));

const quakesOf = (date: string) =>
  at.rows<{ id: string; magnitude: number; xmin: string; generation: number }>(
    'select id, magnitude, xmin::text, generation from quakes where data_date = $1 order by id',
    [date],
  );

describe('daily-report', () => {
  it('loads a day as the file has it, in three pages, and closes with its balance', async () => {
    const date = '2018-02-03';
    await at.open(date);
    const played = await at.play({ dataDate: date });
    expect(played['extract']).toMatchObject({ records: 259, stage: 'extract', schema: 'usgs-feature/1' });
    expect(at.upstream.log().filter(({ route }) => route === 'query')).toHaveLength(3);
    const want = rawOf(date);
    expect(want).toHaveLength(259);
    expect((await quakesOf(date)).map(({ id, magnitude }) => [id, magnitude])).toEqual(
      want.map(({ id, properties }) => [id, properties.mag]).toSorted(([a], [b]) => (a! < b! ? -1 : 1)),
    );
    expect(await at.metrics(date)).toEqual(metricsOf(date));
    expect(await at.close(date)).toMatchObject({
      balanced: true,
      read: 259,
      loaded: 259,
      duplicate: 0,
      quarantined: 0,
      skipped: 0,
    });
  });

  it('changes nothing when the day is loaded again, and says so in its balance', async () => {
    const date = '2018-02-03';
    const before = await quakesOf(date);
    const metricsBefore = await at.rows('select *, xmin::text from daily_metrics order by 1, 2');
    const generation = await at.open(date, true);
    expect(generation).toBe(2);
    await at.play({ dataDate: date, generation });
    expect(await quakesOf(date)).toEqual(before);
    expect(await at.rows('select *, xmin::text from daily_metrics order by 1, 2')).toEqual(metricsBefore);
    expect(await at.close(date)).toMatchObject({ balanced: true, read: 259, loaded: 0, duplicate: 259 });
  });

  it('writes a page that needs nothing but itself and says how fresh it is', async () => {
    const page = readFileSync(join(at.reportsDir, 'daily-report-2018-02-03.html'), 'utf8');
    expect(page).toContain('Data of <strong>2018-02-03</strong>');
    expect(page).toMatch(/as of <time datetime="\d{4}-\d\d-\d\dT[\d:.]+Z">/);
    expect(page).toContain('live from the upstream');
    expect(page).toContain('<svg');
    expect(page).toContain('259');
    expect(page).toContain('mendflow show daily-report/2018-02-03');
    expect(page).not.toMatch(/<script|<link|<img|https?:\/\/|url\(/i);
  });

  it('makes bad records dead letters and loads the others', async () => {
    const date = '2018-02-02';
    await at.open(date);
    const landed = await at.stage<{ records: number }>('extract', undefined, { dataDate: date });
    await damage(at, date, 3);
    expect(landed.records).toBe(242);
    const again = await at.rows<{ id: string }>(
      `select id from mendflow.dataset where run_key = $1 and stage = 'extract'`,
      [runOf(date)],
    );
    const ref = await refAgain(again[0]!.id);
    const valid = await at.stage<{ records: number; quarantined: number }>('validate', ref, { dataDate: date });
    expect(valid).toMatchObject({ records: 239, quarantined: 3 });
    const day = await at.stage('transform', valid, { dataDate: date });
    const loaded = await at.stage('load', day, { dataDate: date });
    expect(loaded).toMatchObject({ read: 239, loaded: 239 });
    await at.stage('report', { ...(day as object), landed: ref, valid, loaded }, { dataDate: date });
    expect(await at.close(date)).toMatchObject({
      balanced: true,
      read: 242,
      loaded: 239,
      quarantined: 3,
      openLetters: 3,
    });
    const page = readFileSync(join(at.reportsDir, `daily-report-${date}.html`), 'utf8');
    expect(page).toContain('3 records are missing here');
    const letters = await at.rows<{ name: string }>(
      `select mendflow.name_text(s.name) as name from mendflow.dead_letter l join mendflow.source s on s.id = l.source_id where l.run_key = $1`,
      [runOf(date)],
    );
    expect(letters.map(({ name }) => name)).toEqual(Array.from({ length: 3 }, () => `${runOf(date)} extract`));
  });

  it('cannot close while records that a stage passed on were read by nobody', async () => {
    const date = '2018-02-01';
    await at.open(date);
    await at.play({ dataDate: date, until: 'validate' });
    expect(await at.close(date)).toMatchObject({
      balanced: false,
      faults: ['validate passed 231 records on, and later stages have read 0 of them.'],
    });
    await at.play({ dataDate: date });
    expect(await at.close(date)).toMatchObject({ balanced: true, read: 231, loaded: 231 });
  });

  it('loads all eight dates in any order, twice, to one and the same end', async () => {
    const order = dates.toSorted(() => Math.random() - 0.5);
    for (const date of [...order, ...order.toReversed()]) {
      const generation = await at.open(date, true);
      // The last day of the file has 14 events: an operator says that this is all.
      await at.play({ dataDate: date, generation, acceptLoss: { actor: 'ada', reason: 'the file ends there' } });
      expect((await at.close(date)).faults, `${date} in the order ${order.join(', ')}`).toEqual([]);
    }
    for (const date of dates) expect(await at.metrics(date), date).toEqual(metricsOf(date));
    const counts = await at.rows<{ date: string; n: number }>(
      'select data_date::text as date, count(*)::int as n from quakes group by 1 order by 1',
    );
    expect(counts.map(({ n }) => n)).toEqual([198, 231, 242, 259, 301, 249, 213, 14]);
  });
});

/** Rewrites the landed records of a date so that some of them are bad, as an upstream would have sent them. */
async function damage(scene: DailyScene, date: string, count: number): Promise<void> {
  const { gunzipSync, gzipSync } = await import('node:zlib');
  const { createHash } = await import('node:crypto');
  const [part] = await scene.rows<{ id: string; body: Buffer }>(
    `select d.id, p.body from mendflow.dataset d join mendflow.dataset_part p on p.dataset_id = d.id where d.run_key = $1 and d.stage = 'extract'`,
    [runOf(date)],
  );
  const lines = gunzipSync(part!.body).toString().split('\n');
  const bad = lines.map((line, index) => (index < count ? line.replace('"mag":', '"magnitude":') : line)).join('\n');
  const body = gzipSync(bad);
  const sha = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
  await scene.sink.pool.query(
    'update mendflow.dataset_part set body = $2, sha256 = $3, bytes = $4 where dataset_id = $1',
    [part!.id, body, sha(body), Buffer.byteLength(bad)],
  );
  await scene.sink.pool.query('update mendflow.dataset set sha256 = $2, bytes = $3 where id = $1', [
    part!.id,
    sha(Buffer.from(bad)),
    Buffer.byteLength(bad),
  ]);
}

async function refAgain(id: string): Promise<unknown> {
  const { findDataset } = await import('../../src/store/datasets.ts');
  const { refOf } = await import('../../src/flow/dataset-ref.ts');
  return refOf((await findDataset(at.sink.pool, id))!);
}
