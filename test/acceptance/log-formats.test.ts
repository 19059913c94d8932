// What lives here: real log files against what independent readers counted in them.
// Invariant: the figures come from the oracle beside the data, or are stated by the specification; none was taken from our own reader.
// Apart because the data is not in the repository; where it is absent the tests are skipped, loudly.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { listFiles, openFile } from '../../src/connectors/files.ts';
import { formats, type FormatName } from '../../src/flow/formats/index.ts';
import { openLogReader } from '../../src/flow/log-reader.ts';
import type { Reject } from '../../src/flow/types.ts';
import { type Row, rowsOf } from '../flow/formats/read.ts';

const data = join(import.meta.dirname, '..', '..', '..', 'shared', 'data');
const absent = !existsSync(join(data, 'oracle', 'logs.tsv'));
afterAll(() => {
  if (absent) console.warn(`SKIPPED: no real logs at ${data}; the formats were tried on made ones only.`);
});

interface Loaded {
  readonly rows: readonly Row[];
  readonly rejects: readonly Reject[];
  readonly lines: number;
  readonly skipped: number;
}

async function read(path: string, format: FormatName, thread: 'always' | 'never' = 'never'): Promise<Loaded> {
  const [ref] = await listFiles(path);
  const file = await openFile(ref!);
  const reader = openLogReader(file, {
    format: formats[format],
    sourceId: '1',
    dataDate: '2026-01-01',
    generation: 1,
    thread,
  });
  const loaded = { rows: [] as Row[], rejects: [] as Reject[], lines: 0, skipped: 0 };
  for await (const chunk of reader.chunks([{ from: 0, to: file.storedBytes }], {
    recordsMax: 500,
    signal: new AbortController().signal,
  })) {
    loaded.rows.push(...rowsOf(chunk));
    loaded.rejects.push(...chunk.rejects);
    loaded.lines += chunk.lines;
    loaded.skipped += chunk.skipped;
  }
  await reader.close();
  return loaded;
}

const count = (values: readonly (string | number)[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
};

interface Facts {
  readonly lines: number;
  readonly records: number;
  readonly continuation_lines: number;
  readonly levels: Record<string, number>;
  readonly modules: Record<string, number>;
  readonly first: string;
  readonly last: string;
}
/** What the oracle says of each file. */
const oracle = (): Map<string, Facts> =>
  new Map(
    readFileSync(join(data, 'oracle', 'logs.tsv'), 'utf8')
      .split('\n')
      .slice(1)
      .filter((line) => line !== '')
      .map((line) => [line.split('\t')[0]!, JSON.parse(line.split('\t')[2]!) as Facts]),
  );

describe.skipIf(absent)('Kafka’s logs', () => {
  const folder = join(data, 'logs', 'kafka-broker', 'kafka0', 'logs');
  test('23 files, 7,057 lines: 6,675 records and 382 continuation lines, as the oracle has them file by file', async () => {
    const facts = oracle();
    const total = { lines: 0, records: 0, more: 0, levels: [] as string[] };
    const names = readdirSync(folder).filter((name) => facts.get(`logs/kafka-broker/kafka0/logs/${name}`)!.lines > 0);
    for (const name of names) {
      const fact = facts.get(`logs/kafka-broker/kafka0/logs/${name}`)!;
      const { rows, rejects, lines } = await read(join(folder, name), 'log4j');
      const levels = rows.map(({ severity }) => severity);
      const more = rows.reduce(
        (sum, { message, module }) => sum + (message.match(/\n/g)?.length ?? 0) + (module === '' ? 1 : 0),
        0,
      );
      expect({ name, lines, records: rows.length, more, levels: count(levels) }).toEqual({
        name,
        lines: fact.lines,
        records: fact.records,
        more: fact.continuation_lines,
        levels: fact.levels,
      });
      expect(rejects).toEqual([]);
      expect(count(rows.map(({ module }) => module))).toMatchObject(fact.modules);
      const stamp = ({ micros }: Row): string =>
        new Date(Number(micros / 1000n)).toISOString().replace('T', ' ').replace('.', ',').slice(0, 23);
      expect([stamp(rows[0]!), stamp(rows.at(-1)!)]).toEqual([fact.first, fact.last]);
      total.lines += lines;
      total.records += rows.length;
      total.more += more;
      total.levels.push(...levels);
    }
    expect({ ...total, levels: count(total.levels) }).toEqual({
      lines: 7057,
      records: 6675,
      more: 382,
      levels: { TRACE: 2094, DEBUG: 1064, INFO: 3197, WARN: 315, ERROR: 5 },
    });
    expect(readdirSync(folder)).toHaveLength(23);
  });
});

describe.skipIf(absent)('Apache’s log', () => {
  const file = join(data, 'logs', 'apache-access', 'apache_logs');
  test.each(['always', 'never'] as const)('10,000 lines: 9,999 rows and line 8899 (thread: %s)', async (thread) => {
    const { rows, rejects, lines } = await read(file, 'apache', thread);
    expect([lines, rows.length]).toEqual([10_000, 9999]);
    expect(rejects).toMatchObject([{ line: 8899, code: 'agent_unclosed', offset: 2_111_246 }]);
    expect(Buffer.from(rejects[0]!.raw).toString()).toBe(readFileSync(file, 'utf8').split('\n')[8898]);
    const attributes = rows.map((row) => row.attributes!);
    expect(count(attributes.map(({ status }) => status as number))).toEqual({
      200: 9125,
      404: 213,
      304: 445,
      301: 164,
      206: 45,
      500: 3,
      403: 2,
      416: 2,
    });
    expect(attributes.filter(({ bytes }) => bytes === undefined)).toHaveLength(669);
    expect(attributes.reduce((sum, { bytes }) => sum + ((bytes as number | undefined) ?? 0), 0)).toBe(2_747_282_505);
    expect(count(rows.map(({ severity }) => severity))).toEqual({ INFO: 9779, WARN: 217, ERROR: 3 });
  });
});

describe.skipIf(absent)('any of the logs, in any format', () => {
  test('is read to its last byte without an error', async () => {
    for (const name of readdirSync(join(data, 'logs', 'lnav'))) {
      for (const format of Object.keys(formats) as FormatName[]) {
        const { rows, rejects, skipped, lines } = await read(join(data, 'logs', 'lnav', name), format);
        expect(rows.length + rejects.length + skipped).toBeLessThanOrEqual(lines);
        for (const reject of rejects) expect(reject.violations.length).toBeGreaterThan(0);
      }
    }
  });
});
