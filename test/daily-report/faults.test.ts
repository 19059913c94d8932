// What is promised here: an answer that is not whole, not stable or not plausible is never taken for a day, and what was loaded before stays.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../demo/upstream/faults.ts';
import { openHttp } from '../../src/connectors/http/index.ts';
import { unopenedUpstreams } from '../../src/engine/unopened-upstreams.ts';
import { fetchDay, guardVolume } from '../../src/activities/daily-report/extract.ts';
import { type DailyScene, metricsOf, openScene, runOf } from './scene.ts';

let at: DailyScene;
beforeAll(async () => {
  at = await openScene();
});
afterAll(() => at?.end());
afterEach(() => at.upstream.script([]));

const lettersOf = (date: string) =>
  at.rows<{ sample: boolean }>('select sample from mendflow.dead_letter where run_key = $1', [runOf(date)]);
const code = (name: string) => ({ failure: { code: name } });

describe('an answer that cannot be used', () => {
  const date = '2018-02-04';
  const cases: readonly (readonly [string, Fault, string])[] = [
    ['a page cut by its length', { kind: 'truncated', framing: 'content-length' }, 'answer_cut'],
    ['a page without its last chunk', { kind: 'truncated', framing: 'chunked' }, 'answer_cut'],
    ['a gzip stream without its end', { kind: 'truncated', framing: 'gzip' }, 'answer_cut'],
    ['a page that is no JSON', { kind: 'bad-json' }, 'answer_unreadable'],
    ['a page of HTML', { kind: 'html' }, 'answer_unreadable'],
    ['a page that lacks two events', { kind: 'page-missing', by: 2 }, 'answer_cut'],
    ['a page that begins three events early', { kind: 'page-overlap', by: 3 }, 'pages_moved'],
    ['the first page again and again', { kind: 'page-loop' }, 'paging_stuck'],
    ['a gateway without its server', { kind: 'status', status: 502 }, 'http_502'],
  ];

  it.each(cases)('%s is refused; nothing is sealed, and the next attempt fetches the day', async (_, fault, want) => {
    at.upstream.script([{ on: 'query', from: 2, count: fault.kind === 'page-loop' ? 9 : 1, fault }]);
    const generation = await at.open(date, true);
    const play = { dataDate: date, generation };
    await expect(at.stage('extract', undefined, play)).rejects.toMatchObject(code(want));
    expect(
      await at.rows(`select from mendflow.dataset where run_key = $1 and generation = $2 and state = 'sealed'`, [
        runOf(date),
        generation,
      ]),
    ).toEqual([]);
    at.upstream.script([]);
    expect(await at.play(play)).toMatchObject({ extract: { records: 301 } });
    expect(await at.close(date)).toMatchObject({ balanced: true, read: 301 });
    expect(await at.metrics(date)).toEqual(metricsOf(date));
  });

  it('is refused too where the upstream counts other events afterwards than before', async () => {
    let counts = 0;
    const server = createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      if (request.url?.includes('/count')) return response.end(JSON.stringify({ count: 2 + counts++, maxAllowed: 9 }));
      return response.end(JSON.stringify({ type: 'FeatureCollection', features: [{ id: 'a' }, { id: 'b' }] }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const upstream = unopenedUpstreams({ 'http:moving': { address } }).at('http:moving');
    const http = openHttp({ ...upstream, call: (work) => work(AbortSignal.timeout(5_000)) }, { readSecret: () => '' });
    const window = { dataDate: '2018-02-04', pageRecords: 10, signal: AbortSignal.timeout(5_000) };
    const put = (): Promise<void> => Promise.resolve();
    expect(await fetchDay(http, window, 2, put)).toMatchObject({ totalBefore: 2, totalAfter: 2, records: 2 });
    await expect(fetchDay(http, window, 2, put)).rejects.toMatchObject(code('pages_moved'));
    await http.close();
    server.close();
  });
});

describe('a schema that changed', () => {
  it('for all records stops at once with a question: 20 letters as a sample, nothing loaded', async () => {
    const date = '2018-01-31';
    at.upstream.script([{ on: 'query', fault: { kind: 'renamed', field: 'mag', to: 'magnitude' } }]);
    await at.open(date);
    const landed = await at.stage('extract', undefined, { dataDate: date });
    await expect(at.stage('validate', landed, { dataDate: date })).rejects.toMatchObject({
      failure: { code: 'quarantine_limit', class: 'permanent', text: expect.stringContaining('198 of 198') as string },
    });
    const letters = await lettersOf(date);
    expect(letters).toHaveLength(20);
    expect(letters.every(({ sample }) => sample)).toBe(true);
    // The upstream is mended: the day is fetched again as a new generation, and the sample is nobody's work any more.
    at.upstream.script([]);
    await at.sink.pool.query(`update mendflow.run set state = 'aborted' where key = $1`, [runOf(date)]);
    const generation = await at.open(date, true);
    await at.play({ dataDate: date, generation });
    expect(await at.close(date)).toMatchObject({ balanced: true, read: 198, loaded: 198, openLetters: 0 });
  });

  it('in mid-run, from the second page on, stops as well', async () => {
    const date = '2018-02-05';
    at.upstream.script([{ on: 'query', from: 2, fault: { kind: 'renamed', field: 'mag', to: 'magnitude' } }]);
    await at.open(date);
    const landed = await at.stage('extract', undefined, { dataDate: date });
    await expect(at.stage('validate', landed, { dataDate: date })).rejects.toMatchObject({
      failure: { code: 'quarantine_limit', text: expect.stringContaining('149 of 249 records (59.8 %') as string },
    });
    expect(await lettersOf(date)).toHaveLength(20);
    expect(await at.metrics(date)).toEqual({});
  });
});

describe('a volume that is not plausible', () => {
  it('asks where the upstream has nothing, however few dates are known', async () => {
    const date = '2018-03-01';
    await at.open(date);
    await expect(at.stage('extract', undefined, { dataDate: date })).rejects.toMatchObject({
      failure: {
        code: 'volume_low',
        class: 'permanent',
        text: expect.stringContaining('0 events for 2018-03-01') as string,
      },
    });
  });

  it('asks with the figures for a day that is 60 % smaller than others, and takes it as it is when an operator says so', async () => {
    for (const date of ['2018-02-01', '2018-02-02', '2018-02-03'] as const) {
      await at.open(date);
      await at.play({ dataDate: date });
      await at.close(date);
    }
    const date = '2018-02-07';
    await at.open(date);
    await expect(at.stage('extract', undefined, { dataDate: date })).rejects.toMatchObject({
      failure: {
        text: expect.stringMatching(
          /has 14 events for 2018-02-07; the median of \d other dates is 2\d\d(\.5)?, so 9\d %/,
        ) as string,
      },
    });
    const acceptLoss = { actor: 'ada', reason: 'the file ends there' };
    await at.play({ dataDate: date, acceptLoss });
    expect(await at.close(date)).toMatchObject({ balanced: true, read: 14, loaded: 14 });
    const proof = await at.rows<{ proof: object }>(
      `select proof from mendflow.dataset where run_key = $1 and stage = 'extract'`,
      [runOf(date)],
    );
    expect(proof).toMatchObject([{ proof: { records: 14, accepted: acceptLoss } }]);
  });

  it.each([
    [100, [100, 100, 100], true],
    [40, [100, 100, 100], true],
    [39, [100, 100, 100], false],
    [1, [100, 100], true],
    [0, [], false],
    [0, [0, 0, 0], false],
    [50, [10, 120, 130, 140], true],
  ])('of %i against %j passes: %s', (records, others, passes) => {
    const guard = (): void => guardVolume('http:main_api', '2018-02-03', records, others);
    if (passes) expect(guard).not.toThrow();
    else expect(guard).toThrow('accept-loss');
  });
});
