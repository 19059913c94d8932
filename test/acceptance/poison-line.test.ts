// What is promised here: one bad line of a real log costs one letter and none of its good neighbours.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absent, data, openPlace, type Place } from './command-line.ts';

afterAll(() => {
  if (absent) console.warn(`SKIPPED: no real logs at ${data}; the poison line of a real log was not tried.`);
});

/** What an independent reader counted, kept beside the data. */
interface Facts {
  readonly lines: number;
  readonly records: number;
  readonly status: Record<string, number>;
  readonly size_dash: number;
  readonly bytes_sum: number;
}
const factsOf = (name: string): Facts =>
  JSON.parse(
    readFileSync(join(data, 'oracle', 'logs.tsv'), 'utf8')
      .split('\n')
      .find((line) => line.startsWith(`${name}\t`))!
      .split('\t')[2]!,
  ) as Facts;

describe.skipIf(absent)('apache_logs, started from the command line', () => {
  const file = join(data, 'logs', 'apache-access', 'apache_logs');
  let place: Place;
  beforeAll(async () => {
    place = await openPlace();
    await place.worker('worker');
  }, 300_000);
  afterAll(() => place?.close());

  it('gives 9,999 rows, and one letter with line 8899 and its raw text', async () => {
    const facts = factsOf('logs/apache-access/apache_logs');
    const report = await place.json<Record<string, unknown>>(
      'start',
      'log-ingest',
      '--date',
      '2015-05-20',
      '--wait',
      '--set',
      `path=${file}`,
      'format=apache',
    );
    expect(report).toMatchObject({
      state: 'done',
      read: 10_000,
      loaded: 9_999,
      quarantined: 1,
      duplicate: 0,
      skipped: 0,
    });

    const letters = await place.json<{ id: string; line: number; code: string }[]>('letters', 'list');
    expect(letters).toHaveLength(1);
    expect(letters[0]).toMatchObject({ line: 8_899 });
    const letter = await place.json<{ raw: string; line: number; source: string }>('letters', 'show', letters[0]!.id);
    expect(letter.raw.replace(/\n$/, '')).toBe(readFileSync(file, 'utf8').split('\n')[8_898]);
    expect(letter.source).toContain('apache_logs');
    const shown = await place.mendflow('letters', 'show', letters[0]!.id);
    expect(shown.code).toBe(0);
    expect(shown.out).toContain('line 8899');

    const statuses = await place.rows<{ status: string; n: number }>(
      `select attributes ->> 'status' as status, count(*)::int as n from log_entries group by 1`,
    );
    expect(Object.fromEntries(statuses.map(({ status, n }) => [status, n]))).toEqual(facts.status);
    const [sums] = await place.rows<{ rows: number; bytes: number; dashes: number; lines: number }>(
      `select count(*)::int as rows, sum((attributes ->> 'bytes')::bigint)::float8 as bytes,
         count(*) filter (where not attributes ? 'bytes')::int as dashes, count(distinct line_no)::int as lines from log_entries`,
    );
    expect(sums).toEqual({
      rows: facts.records,
      bytes: facts.bytes_sum,
      dashes: facts.size_dash,
      lines: facts.records,
    });
    expect(facts.bytes_sum).toBe(2_747_282_505);
  });

  it('started again says so and changes nothing', async () => {
    const again = await place.mendflow(
      'start',
      'log-ingest',
      '--date',
      '2015-05-20',
      '--wait',
      '--set',
      `path=${file}`,
      'format=apache',
    );
    expect(again.code).toBe(0);
    expect(again.out).toContain('is done already');
    expect(await place.rows('select count(*)::int as n from log_entries')).toEqual([{ n: 9_999 }]);
  });
});
